#!/bin/sh
# get.sh FOLDER - a copy of the judges with their npm packages, made once.
# SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
here=$(cd "$(dirname "$0")" && pwd)
command -v npm >/dev/null && command -v node >/dev/null
mkdir -p "$1"
exec 9>"$1/.lock"
flock 9
cp -R "$here"/. "$1"
cmp -s "$here/package.json" "$1/.installed" && exit 0
cd "$1"
npm install --silent --no-audit --no-fund >npm.log 2>&1 9>&-
cp package.json .installed
