#!/usr/bin/env python3
"""Packages of every odd kind that exists, and of every hostile kind we refuse.

  mkpackage.py make CASE DISK DIR      write that case into DIR; prints its path
  mkpackage.py odd DISK DIR            all the odd ones, each in DIR/CASE/;
                                       prints CASE PATH
  mkpackage.py hostile DISK DIR        likewise; prints CASE PATH ERROR
  mkpackage.py pack HOW DISK OUT.ova   the usual OVA, its disk file packed as HOW
                                       says, its manifest written before damage

DISK is the disk file that the package holds (a VMDK).  Archives are written
byte by byte here, since the usual tools refuse to write most of these.
SPDX-License-Identifier: LGPL-2.1-or-later
"""
import bz2
import gzip
import hashlib
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile

STREAM = ("http://www.vmware.com/interfaces/specifications/vmdk.html"
          "#streamOptimized")
RASD = ("http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
        "CIM_ResourceAllocationSettingData")
MIB = 1 << 20
CAPACITY = 8 * MIB  # of DISK, by the descriptors
DISK = SOURCE = None  # what the disk file holds, and its path


# --- descriptors --------------------------------------------------------------
def ovf(files, disks, name="box", head=""):
    """files: (id, href, attributes); disks: (id, file id or None, attributes)."""
    refs = "".join('<File ovf:id="%s" ovf:href="%s" %s/>' % f for f in files)
    section = "".join(
        '<Disk ovf:diskId="%s" %s ovf:capacity="%d" ovf:format="%s" %s/>'
        % (i, 'ovf:fileRef="%s"' % f if f else "", CAPACITY, STREAM, more)
        for i, f, more in disks)
    used = [d for d in disks if "base" not in d[0]]
    items = "".join(
        "<Item><rasd:AddressOnParent>%d</rasd:AddressOnParent>"
        "<rasd:ElementName>disk</rasd:ElementName>"
        "<rasd:HostResource>ovf:/disk/%s</rasd:HostResource>"
        "<rasd:InstanceID>%d</rasd:InstanceID><rasd:Parent>3</rasd:Parent>"
        "<rasd:ResourceType>17</rasd:ResourceType></Item>" % (n, d[0], 10 + n)
        for n, d in enumerate(used))
    return ("""<?xml version="1.0" encoding="UTF-8"?>%s
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="%s">
<References>%s</References><DiskSection><Info/>%s</DiskSection>
<VirtualSystem ovf:id="%s"><Info/><Name>%s</Name>
<OperatingSystemSection ovf:id="96"><Info/></OperatingSystemSection>
<VirtualHardwareSection><Info/>
<Item><rasd:ElementName>cpu</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
<rasd:ResourceType>3</rasd:ResourceType>
<rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
<rasd:ElementName>memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID>
<rasd:ResourceType>4</rasd:ResourceType>
<rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>
<Item><rasd:Address>0</rasd:Address><rasd:ElementName>scsi</rasd:ElementName>
<rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>
<rasd:ResourceType>6</rasd:ResourceType></Item>%s
</VirtualHardwareSection></VirtualSystem></Envelope>
""" % (head, RASD, refs, section, name, name, items)).encode()


def simple(href="box.vmdk", attributes="", **more):
    return ovf([("f1", href, attributes)], [("d1", "f1", "")], **more)


def manifest(members, algorithm="sha256", line="{A}({name})= {hex}\n"):
    text = ""
    for name, data in members:
        text += line.format(A=algorithm.upper(), name=name,
                            hex=hashlib.new(algorithm, data).hexdigest())
    return text.encode()


# --- tar, byte by byte -----------------------------------------------------------
GNU, USTAR, V7 = b"ustar  \0", b"ustar\x0000", b"\0" * 8


def octal(n, width):
    return b"%0*o\0" % (width - 1, n)


def header(name, size, kind=b"0", magic=USTAR, prefix=b"", link=b"",
           size_field=None, tail=b""):
    block = bytearray(512)
    name = name.encode() if isinstance(name, str) else name
    block[0:len(name)] = name
    block[100:108] = octal(0o644, 8)
    block[108:116] = block[116:124] = octal(0, 8)
    block[124:136] = size_field or octal(size, 12)
    block[136:148] = octal(1735689600, 12)
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157:157 + len(link)] = link
    block[257:265] = magic
    block[345:345 + len(prefix)] = prefix
    block[345:345 + len(tail)] = tail
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def member(name, data, **how):
    return header(name, len(data), **how) + padded(data)


def pax(records, kind=b"x"):
    text = b""
    for key, value in records:
        value = value.encode() if isinstance(value, str) else value
        body = b" " + key.encode() + b"=" + value + b"\n"
        n = len(body) + 1
        while len(b"%d" % n) + len(body) != n:
            n += 1
        text += b"%d" % n + body
    return member("PaxHeaders/x", text, kind=kind)


END = bytes(1024)


def tar(*members):
    return b"".join(m if isinstance(m, bytes) else member(*m)
                    for m in members) + END


def plain(*extra, descriptor=None, disk=None, name="box.vmdk", mf=True):
    """The usual order: descriptor, manifest, disk; then what is given."""
    descriptor = descriptor or simple(name)
    disk = DISK if disk is None else disk
    parts = [("box.ovf", descriptor)]
    if mf:
        parts.append(("box.mf", manifest([("box.ovf", descriptor),
                                          (name, disk)])))
    return tar(*parts, (name, disk), *extra)


# --- odd, but sound ------------------------------------------------------------------
ODD, HOSTILE = {}, {}


def odd(f):
    ODD[f.__name__.replace("_", "-")] = f
    return f


def hostile(error):
    def keep(f):
        HOSTILE[f.__name__.replace("_", "-")] = (f, error)
        return f
    return keep


def put(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def ova(make):
    """A case that is the bytes of one archive."""
    def write(where):
        return put(os.path.join(where, "box.ova"), make())
    write.__name__ = make.__name__
    return write


def odd_ova(f):
    return odd(ova(f))


@odd_ova
def plain_ustar():
    return plain()


@odd_ova
def without_end_mark():
    return plain()[:-1024]


@odd_ova
def last_padding_cut_off():
    data = tar(("box.ovf", simple()))[:-1024]
    return data + header("box.vmdk", len(DISK)) + DISK


@odd_ova
def one_zero_block_at_the_end():
    return plain()[:-512]


@odd_ova
def a_megabyte_of_padding():
    return plain() + bytes(MIB)


@odd_ova
def descriptor_last():
    d = simple()
    return tar(("box.vmdk", DISK), ("box.mf", manifest([("box.ovf", d)])),
               ("box.ovf", d))


@odd_ova
def old_v7_headers():
    return tar(member("box.ovf", simple(), magic=V7, kind=b"\0"),
               member("box.vmdk", DISK, magic=V7, kind=b"\0"))


@odd_ova
def leading_dot_slash_and_a_folder_entry():
    return tar(member("./", b"", kind=b"5"), ("./box.ovf", simple()),
               ("./box.vmdk", DISK))


@odd_ova
def everything_in_a_folder():
    d = simple()
    return tar(member("vm/", b"", kind=b"5"), ("vm/box.ovf", d),
               ("vm/box.mf", manifest([("box.ovf", d), ("box.vmdk", DISK)])),
               ("vm/box.vmdk", DISK))


@odd_ova
def macos_forks_and_pax_leftovers():
    return plain(("._box.ovf", b"\0\5\x16\7"), ("./._box.vmdk", b"\0\5\x16\7"),
                 ("PaxHeader/box.ovf", b"30 mtime=1\n"),
                 ("__MACOSX/._box.ovf", b"fork"))


@odd_ova
def gnu_long_names():
    name = "disk-" + "n" * 180 + ".vmdk"
    return tar(("box.ovf", simple(name)),
               member("././@LongLink", name.encode() + b"\0", kind=b"L",
                      magic=GNU),
               member(name[:100], DISK, magic=GNU))


@odd_ova
def ustar_prefix():
    d = ovf([("f1", "p" * 120 + "/box.vmdk", "")], [("d1", "f1", "")])
    return tar(("box.ovf", d), member("box.vmdk", DISK, prefix=b"p" * 120))


@odd_ova
def pax_path():
    name = "ディスク-" + "n" * 150 + ".vmdk"
    return tar(("box.ovf", simple(name)), pax([("path", name)]),
               ("short", DISK))


@odd_ova
def pax_size_and_a_zero_in_the_header():
    return tar(("box.ovf", simple()), pax([("size", "%d" % len(DISK))]),
               header("box.vmdk", 0) + padded(DISK))


@odd_ova
def pax_global_header():
    return pax([("comment", "made by git archive")], b"g") + plain()


@odd_ova
def base_256_size():
    return tar(("box.ovf", simple()),
               header("box.vmdk", 0, magic=GNU,
                      size_field=b"\x80" + len(DISK).to_bytes(11, "big")) +
               padded(DISK))


def sparse_by_tar(form):
    """The disk as raw bytes with holes, packed by GNU tar."""
    def write(where):
        raw = os.path.join(where, "box.raw")
        subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", SOURCE, raw],
                       check=True)
        put(os.path.join(where, "box.ovf"), simple("box.raw"))
        out = os.path.join(where, "box.ova")
        subprocess.run(["tar", "-C", where, "--sparse", "--format=" + form,
                        "-cf", out, "box.ovf", "box.raw"], check=True)
        os.unlink(raw)
        os.unlink(os.path.join(where, "box.ovf"))
        return out
    return write


ODD["gnu-sparse-member"] = sparse_by_tar("gnu")
ODD["pax-sparse-member"] = sparse_by_tar("pax")


@odd
def python_tarfile(where):
    out = os.path.join(where, "box.ova")
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as t:
        for name, data in (("bøx.ovf", simple("bøx.vmdk")), ("bøx.vmdk", DISK)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out


def packed(ending, pack):
    def write(where):
        return put(os.path.join(where, "box" + ending), pack(plain()))
    return write


ODD["tar-gz"] = packed(".ova.gz", gzip.compress)
ODD["tar-gz-in-two-members"] = packed(
    ".tar.gz", lambda t: gzip.compress(t[:5000]) + gzip.compress(t[5000:]))
ODD["tar-xz"] = packed(".tar.xz", lzma.compress)
ODD["tar-bz2"] = packed(".tar.bz2", bz2.compress)
ODD["a-gz-by-content-alone"] = packed(".ova", gzip.compress)


@odd
def tar_zstd(where):
    out = put(os.path.join(where, "box.tar"), plain())
    subprocess.run(["zstd", "-q", "--rm", out], check=True)
    return out + ".zst"


def zipped(where, method, folder=""):
    out = os.path.join(where, "box.zip")
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr(folder + "bóx.ovf", simple("bóx.vmdk"))
        z.writestr(folder + "bóx.vmdk", DISK)
    return out


@odd
def zip_deflated(where):
    return zipped(where, zipfile.ZIP_DEFLATED)


@odd
def zip_stored_in_a_folder(where):
    return zipped(where, zipfile.ZIP_STORED, "export/")


def loose(where, files):
    for name, data in files:
        put(os.path.join(where, "box", name), data)
    return os.path.join(where, "box")


@odd
def folder(where):
    d = simple()
    return loose(where, [("box.ovf", d), ("box.vmdk", DISK), ("notes.txt", b"x"),
                         ("box.mf", manifest([("box.ovf", d),
                                              ("box.vmdk", DISK)]))])


@odd
def loose_ovf(where):
    return loose(where, [("box.ovf", simple()), ("box.vmdk", DISK),
                         ("other.ovf", b"<not/>")]) + "/box.ovf"


@odd
def upper_case_endings(where):
    d = simple("BOX.VMDK")
    return loose(where, [("BOX.OVF", d), ("BOX.VMDK", DISK)])


@odd
def bare_vmdk(where):
    return put(os.path.join(where, "box.vmdk"), DISK)


@odd
def bare_vmdk_under_another_name(where):
    return put(os.path.join(where, "box.qcow2"), DISK)


@odd
def bare_vmdk_gz(where):
    return put(os.path.join(where, "box.vmdk.gz"), gzip.compress(DISK))


# Names
@odd_ova
def blanks_and_parentheses_in_a_name():
    return plain(name="my disk (1).vmdk")


@odd_ova
def escaped_name():
    return tar(("box.ovf", simple("my%20disk%C3%A9.vmdk")),
               ("my diské.vmdk", DISK))


@odd_ova
def a_percent_sign_that_is_one():
    return tar(("box.ovf", simple("box%20.vmdk")), ("box%20.vmdk", DISK))


# Disks in pieces, packed, shared
def chunks(size, attribute=True, parts=None):
    d = simple(attributes='ovf:chunkSize="%d" ovf:size="%d"'
               % (size, len(DISK)) if attribute else "")
    pieces = [("box.vmdk.%09d" % i, DISK[at:at + size])
              for i, at in enumerate(range(0, len(DISK), size))]
    return tar(("box.ovf", d),
               ("box.mf", manifest([("box.ovf", d)] + pieces)),
               *pieces[:parts])


@odd_ova
def chunked():
    return chunks(100000)


@odd_ova
def chunked_in_one_part():
    return chunks(1 << 33)


@odd_ova
def chunked_but_not_said():
    return chunks(100000, attribute=False)


@odd_ova
def chunk_size_of_a_whole_file():
    return tar(("box.ovf", simple(attributes='ovf:chunkSize="7516192768"')),
               ("box.vmdk", DISK))


@odd_ova
def gzip_disk():
    data = gzip.compress(DISK, 1)
    d = simple("box.vmdk.gz", 'ovf:compression="gzip" ovf:size="%d"' % len(data))
    return plain(descriptor=d, disk=data, name="box.vmdk.gz")


@odd_ova
def gzip_disk_that_nobody_announced():
    return plain(disk=gzip.compress(DISK, 1))


@odd_ova
def gzip_announced_but_plain():
    return plain(descriptor=simple(attributes='ovf:compression="gzip"'))


@odd_ova
def two_disks_of_one_file():
    return tar(("box.ovf", ovf([("f1", "box.vmdk", "")],
                               [("d1", "f1", ""), ("d2", "f1", "")])),
               ("box.vmdk", DISK))


@odd_ova
def a_new_empty_disk():
    return tar(("box.ovf", ovf([("f1", "box.vmdk", "")],
                               [("d1", "f1", ""), ("d2", None, "")])),
               ("box.vmdk", DISK))


def empty_child(where):
    """A disk with nothing in it, that stands over another one."""
    out = os.path.join(where, "child.vmdk")
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", "-o",
                    "subformat=streamOptimized", out, str(CAPACITY)],
                   check=True)
    with open(out, "rb") as f:
        data = f.read()
    os.unlink(out)
    return data


@odd
def delta_over_a_disk_of_the_package(where):
    child = empty_child(where)
    d = ovf([("f1", "base.vmdk", ""), ("f2", "mid.vmdk", ""),
             ("f3", "box.vmdk", "")],
            [("d1", "f3", 'ovf:parentRef="base2"'), ("base1", "f1", ""),
             ("base2", "f2", 'ovf:parentRef="base1"')])
    files = [("base.vmdk", DISK), ("mid.vmdk", child), ("box.vmdk", child)]
    return put(os.path.join(where, "box.ova"),
               tar(("box.ovf", d), *files,
                   ("box.mf", manifest([("box.ovf", d)] + files))))


@odd_ova
def files_that_no_disk_uses():
    return tar(("box.ovf", ovf([("f1", "box.vmdk", ""), ("f2", "tools.iso", ""),
                                ("f3", "box.nvram", "")], [("d1", "f1", "")])),
               ("box.vmdk", DISK), ("tools.iso", b"iso"), ("box.nvram", b"MRVN"),
               ("readme.txt", b"read me"))


# Manifests
def with_manifest(text):
    d = simple()
    return tar(("box.ovf", d), ("box.mf", text(d)), ("box.vmdk", DISK))


def spelling(name, algorithm="sha256", line="{A}({name})= {hex}\n",
             change=lambda text: text):
    ODD["manifest-" + name] = ova(lambda: with_manifest(
        lambda d: change(manifest([("box.ovf", d), ("box.vmdk", DISK)],
                                  algorithm, line))))


spelling("sha1", "sha1")
spelling("sha512", "sha512")
spelling("blank-before-the-bracket", line="{A} ({name}) = {hex}\n")
spelling("no-blank-after-the-sign", line="{A}({name})={hex}\n")
spelling("tabs", line="{A}\t({name})\t=\t{hex}\t\n")
spelling("crlf", line="{A}({name})= {hex}\r\n")
spelling("upper-case-hex", change=lambda t: t.upper().replace(b"BOX", b"box")
         .replace(b".OVF", b".ovf").replace(b".VMDK", b".vmdk"))
spelling("lower-case-algorithm", change=lambda t: t.replace(b"SHA", b"sha"))
spelling("dashed-algorithm", change=lambda t: t.replace(b"SHA256", b"SHA-256"))
spelling("of-openssl-3", change=lambda t: t.replace(b"SHA256", b"SHA2-256"))
spelling("utf-16", change=lambda t: t.decode().encode("utf-16"))
spelling("no-last-newline", change=lambda t: t.rstrip())
spelling("byte-order-mark", change=lambda t: b"\xef\xbb\xbf" + t)
spelling("dot-slash", line="{A}(./{name})= {hex}\n")
spelling("blank-lines-and-comments",
         change=lambda t: b"\n# made by hand\n" + t + b"\n\n")
spelling("of-sha256sum", line="{hex}  {name}\n")
spelling("of-sha256sum-b", line="{hex} *{name}\n")
spelling("two-algorithms", line="{A}({name})= {hex}\n",
         change=lambda t: t + manifest([("box.vmdk", DISK)], "sha1"))


# --- hostile, or broken ----------------------------------------------------------------
def hostile_ova(error):
    return lambda f: hostile(error)(ova(f))


def named(name, **how):
    return plain(member(name, b"x", **how))


def bad_name(case, name, error="PACKAGE_MEMBER_NAME", **how):
    HOSTILE[case] = (ova(lambda: named(name, **how)), error)


bad_name("name-dot-dot", "../../etc/cron.d/x")
bad_name("name-dot-dot-inside", "a/../../x")
bad_name("name-dot-dot-at-the-end", "a/..")
bad_name("name-dot-dot-alone", "..")
bad_name("name-absolute", "/etc/passwd")
bad_name("name-absolute-twice", "//etc/passwd")
bad_name("name-backslashes", "..\\..\\windows\\x")
bad_name("name-drive", "c:\\x")
bad_name("name-newline", "a\nb")
bad_name("name-escape-sequence", "\x1b[2Jx")
bad_name("name-delete", "a\x7f")
bad_name("prefix-dot-dot", "x", prefix=b"../..")
bad_name("prefix-absolute", "x", prefix=b"/etc")
bad_name("symlink", "link", "PACKAGE_MEMBER_TYPE", kind=b"2", link=b"/etc/passwd")
bad_name("hard-link", "link", "PACKAGE_MEMBER_TYPE", kind=b"1", link=b"box.vmdk")
bad_name("character-device", "dev", "PACKAGE_MEMBER_TYPE", kind=b"3")
bad_name("block-device", "dev", "PACKAGE_MEMBER_TYPE", kind=b"4")
bad_name("named-pipe", "pipe", "PACKAGE_MEMBER_TYPE", kind=b"6")
bad_name("volume-set", "part", "PACKAGE_MEMBER_TYPE", kind=b"M")
bad_name("unknown-type", "what", "PACKAGE_MEMBER_TYPE", kind=b"Z")


def bad_extension(case, error, *parts):
    HOSTILE[case] = (ova(lambda: plain(*parts)), error)


bad_extension("pax-name-dot-dot", "PACKAGE_MEMBER_NAME",
              pax([("path", "../x")]), ("fine", b"x"))
bad_extension("pax-name-with-nul", "PACKAGE_MEMBER_NAME",
              pax([("path", "a\0b")]), ("fine", b"x"))
bad_extension("pax-name-too-long", "PACKAGE_LIMIT",
              pax([("path", "a" * 5000)]), ("fine", b"x"))
bad_extension("pax-length-lies", "PACKAGE_TAR",
              member("x", b"99 path=a\n", kind=b"x"), ("fine", b"x"))
bad_extension("pax-length-zero", "PACKAGE_TAR",
              member("x", b"0 path=a\n", kind=b"x"), ("fine", b"x"))
bad_extension("pax-no-equals", "PACKAGE_TAR",
              member("x", b"8 patha\n", kind=b"x"), ("fine", b"x"))
bad_extension("pax-size-negative", "PACKAGE_TAR",
              pax([("size", "-1")]), ("fine", b"x"))
bad_extension("pax-size-huge", "PACKAGE_TRUNCATED",
              pax([("size", "9223372036854775807")]), ("fine", b"x"))
bad_extension("pax-size-beyond-64-bits", "PACKAGE_TAR",
              pax([("size", "18446744073709551617")]), ("fine", b"x"))
bad_extension("pax-global-path", "PACKAGE_TAR",
              pax([("path", "box.ovf")], b"g"), ("fine", b"x"))
bad_extension("pax-header-too-large", "PACKAGE_LIMIT",
              member("x", b"a" * (2 * MIB), kind=b"x"), ("fine", b"x"))
bad_extension("gnu-long-name-dot-dot", "PACKAGE_MEMBER_NAME",
              member("l", b"../../x\0", kind=b"L"), ("fine", b"x"))
bad_extension("extension-of-nothing", "PACKAGE_TRUNCATED",
              pax([("path", "gone")]))
bad_extension("duplicate-descriptor", "PACKAGE_DUPLICATE",
              ("box.ovf", simple("evil.vmdk")))
bad_extension("duplicate-disk", "PACKAGE_DUPLICATE", ("./box.vmdk", b"KDMV"))
bad_extension("checksum-wrong", "PACKAGE_TAR",
              header("x", 0).replace(b"x", b"y", 1))
bad_extension("size-not-octal", "PACKAGE_TAR",
              header("x", 0, size_field=b"0000000009x\0"))
bad_extension("size-base-256-negative", "PACKAGE_TAR",
              header("x", 0, size_field=b"\xff" * 12))
bad_extension("size-base-256-huge", "PACKAGE_TAR",
              header("x", 0, size_field=b"\x80" + b"\xff" * 11))
bad_extension("size-past-the-end", "PACKAGE_TRUNCATED",
              header("x", 1 << 30))


@hostile_ova("PACKAGE_TRUNCATED")
def sparse_map_without_end():
    return plain()[:-1024] + header(
        "x", 512, kind=b"S", magic=GNU,
        tail=bytes(137) + b"\1" + octal(1 << 20, 12)) + (
            bytes(504) + b"\1" + bytes(7)) * 2


@hostile_ova("PACKAGE_LIMIT")
def seventy_thousand_members():
    return plain(*[header("m%d" % i, 0) for i in range(70000)])


@hostile_ova("PACKAGE_TRUNCATED")
def cut_inside_the_disk():
    return plain()[:-1024 - len(DISK) // 2]


@hostile_ova("PACKAGE_TRUNCATED")
def cut_inside_a_header():
    return plain(("more", b"x"))[:-1024 - 700]


@hostile_ova("PACKAGE_TRUNCATED")
def cut_before_the_disk():
    d = simple()
    return tar(("box.ovf", d))[:-1024]


@hostile_ova("PACKAGE_UNKNOWN")
def nothing_at_all():
    return b""


@hostile_ova("PACKAGE_UNKNOWN")
def nothing_but_zeros():
    return bytes(10240)


@hostile_ova("PACKAGE_UNKNOWN")
def noise():
    return hashlib.sha512(b"x").digest() * 100


@hostile_ova("PACKAGE_NO_DESCRIPTOR")
def no_descriptor():
    return tar(("box.vmdk", DISK))


@hostile_ova("PACKAGE_SEVERAL")
def two_descriptors():
    return plain(("other.ovf", simple()))


@hostile("PACKAGE_SEVERAL")
def two_descriptors_in_a_folder(where):
    return loose(where, [("a.ovf", simple()), ("b.ovf", simple()),
                         ("box.vmdk", DISK)])


@hostile("PACKAGE_NO_DESCRIPTOR")
def folder_without_a_descriptor(where):
    return loose(where, [("readme.txt", b"x")])


# What the descriptor names
def bad_href(case, href, error="PACKAGE_HREF"):
    HOSTILE["href-" + case] = (
        ova(lambda: tar(("box.ovf", simple(href)), ("box.vmdk", DISK))), error)


bad_href("dot-dot", "../box.vmdk")
bad_href("dot-dot-escaped", "%2e%2e/box.vmdk")
bad_href("dot-dot-inside", "a/../../box.vmdk")
bad_href("absolute", "/etc/passwd")
bad_href("device", "/dev/sda")
bad_href("http", "http://169.254.169.254/latest/meta-data")
bad_href("file", "file:///etc/passwd")
bad_href("nbd", "nbd://localhost/x")
bad_href("json", "json:{}")
bad_href("drive", "C:\\disks\\box.vmdk")
bad_href("share", "\\\\server\\share\\box.vmdk")


@hostile("PACKAGE_HREF")
def loose_ovf_with_an_absolute_href(where):
    return loose(where, [("box.ovf", simple("/etc/passwd"))]) + "/box.ovf"


@hostile("NAME_UNSAFE")
def disk_is_a_link_in_the_folder(where):
    path = loose(where, [("box.ovf", simple())])
    os.symlink("/etc/passwd", path + "/box.vmdk")
    return path


@hostile("NAME_UNSAFE")
def descriptor_is_a_link_in_the_folder(where):
    path = loose(where, [("box.vmdk", DISK)])
    os.symlink("/etc/passwd", path + "/box.ovf")
    return path


@hostile("FILE_TYPE")
def disk_is_a_pipe_in_the_folder(where):
    path = loose(where, [("box.ovf", simple())])
    os.mkfifo(path + "/box.vmdk")
    return path


@hostile_ova("STREAM_LIMIT")
def descriptor_of_seventeen_megabytes():
    return plain(descriptor=simple() + b" " * (17 * MIB))


@hostile("STREAM_LIMIT")
def descriptor_of_ten_gigabytes(where):
    path = loose(where, [("box.ovf", simple())]) + "/box.ovf"
    os.truncate(path, 10 << 30)
    return path


@hostile_ova("STREAM_LIMIT")
def manifest_of_five_megabytes():
    return tar(("box.ovf", simple()), ("box.mf", b"#\n" * (5 * MIB // 2)),
               ("box.vmdk", DISK))


# Digests
def lie(case, error, **how):
    def make():
        d = simple()
        right = manifest([("box.ovf", d), ("box.vmdk", DISK)])
        return tar(("box.ovf", how.get("ovf", d)), ("box.mf",
                   how.get("change", lambda m: m)(right)), ("box.vmdk", DISK))
    HOSTILE["manifest-" + case] = (ova(make), error)


lie("descriptor-changed", "MANIFEST_MISMATCH",
    change=lambda m: manifest([("box.ovf", b"other"), ("box.vmdk", DISK)]))
lie("says-two-things", "MANIFEST_CONFLICT",
    change=lambda m: m + manifest([("box.vmdk", b"other")]))


# Compressed
@hostile("STREAM_DECODE")
def gz_cut(where):
    return put(where + "/box.ova", gzip.compress(plain())[:-2000])


@hostile("STREAM_DECODE")
def gz_wrong_checksum(where):
    data = bytearray(gzip.compress(plain()))
    data[-8] ^= 1
    return put(where + "/box.ova", bytes(data))


@hostile("STREAM_DECODE")
def xz_cut(where):
    return put(where + "/box.ova", lzma.compress(plain())[:-2000])


@hostile("STREAM_DECODE")
def bz2_cut(where):
    return put(where + "/box.ova", bz2.compress(plain())[:-2000])


@hostile("STREAM_LIMIT")
def xz_bomb(where):
    return put(where + "/box.ova",
               lzma.compress(tar(("box.ovf", simple()))[:-1024] +
                             header("box.vmdk", 256 * MIB) + bytes(256 * MIB)))


@hostile("PACKAGE_UNKNOWN")
def gz_in_gz(where):
    return put(where + "/box.ova", gzip.compress(gzip.compress(plain())))


@hostile("PACKAGE_UNKNOWN")
def gz_of_zeros(where):
    return put(where + "/box.ova", gzip.compress(bytes(64 * MIB)))


def zip_case(case, error, write):
    def make(where):
        out = os.path.join(where, "box.zip")
        with zipfile.ZipFile(out, "w") as z:
            z.writestr("box.ovf", simple())
            z.writestr("box.vmdk", DISK)
            write(z)
        return out
    HOSTILE["zip-" + case] = (make, error)


def zip_link(z):
    info = zipfile.ZipInfo("link")
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    z.writestr(info, "/etc/passwd")


zip_case("dot-dot", "PACKAGE_MEMBER_NAME", lambda z: z.writestr("../x", b"x"))
zip_case("absolute", "PACKAGE_MEMBER_NAME", lambda z: z.writestr("/x", b"x"))
zip_case("link", "PACKAGE_MEMBER_TYPE", zip_link)


@hostile("PACKAGE_DUPLICATE")
def zip_duplicate(where):
    import warnings
    warnings.simplefilter("ignore")
    out = os.path.join(where, "box.zip")
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("box.ovf", simple())
        z.writestr("box.vmdk", DISK)
        z.writestr("box.vmdk", b"KDMV")
    return out


@hostile("PACKAGE_ZIP")
def zip_cut(where):
    out = zipped(where, zipfile.ZIP_STORED)
    os.truncate(out, os.path.getsize(out) - 100)
    return out


@hostile_ova("PACKAGE_LIMIT")
def deltas_in_a_circle():
    return tar(("box.ovf", ovf([("f1", "box.vmdk", ""), ("f2", "mid.vmdk", "")],
                               [("d1", "f1", 'ovf:parentRef="base"'),
                                ("base", "f2", 'ovf:parentRef="d1"')])),
               ("box.vmdk", DISK), ("mid.vmdk", DISK))


@hostile_ova("PACKAGE_CHUNK")
def chunk_too_short():
    d = simple(attributes='ovf:chunkSize="1000"')
    return tar(("box.ovf", d), ("box.vmdk.000000000", DISK[:999]),
               ("box.vmdk.000000001", DISK[999:1999]))


# --- the usual OVA around a packed disk --------------------------------------------
def flipped(data, at):
    data = bytearray(data)
    data[at] ^= 1
    return bytes(data)


# HOW: the file's ending, the codec, and what then happens to its bytes.
PACK = {
    "plain": ("", lambda d: d, None),
    "gzip": (".gz", lambda d: gzip.compress(d, 6), None),
    "gzip-members": (".gz", lambda d: gzip.compress(d[:70000], 1)
                     + gzip.compress(d[70000:], 1) + bytes(512), None),
    "xz": (".xz", lambda d: lzma.compress(d, preset=0), None),
    # The time of packing, which only the manifest vouches for.
    "gzip-time": (".gz", lambda d: gzip.compress(d, 6), lambda d: flipped(d, 5)),
    "gzip-byte": (".gz", lambda d: gzip.compress(d, 6),
                  lambda d: flipped(d, len(d) // 2)),
    "gzip-cut": (".gz", lambda d: gzip.compress(d, 6), lambda d: d[:-5000]),
    "gzip-behind": (".gz", lambda d: gzip.compress(d, 6), lambda d: d + bytes(9)),
}


def pack_twice(out):
    """Two disks of one file."""
    data = gzip.compress(DISK, 6)
    descriptor = ovf([("f1", "box.vmdk.gz", 'ovf:compression="gzip"')],
                     [("d1", "f1", ""), ("d2", "f1", "")])
    listed = manifest([("box.ovf", descriptor), ("box.vmdk.gz", data)])
    return put(out, tar(("box.ovf", descriptor), ("box.mf", listed),
                        ("box.vmdk.gz", data)))


def pack_chunks(out):
    """The packed file in two chunks, each with a line in the manifest."""
    data = gzip.compress(DISK, 6)
    size = len(data) // 2 + 1
    descriptor = simple("box.vmdk.gz", 'ovf:compression="gzip" ovf:size="%d" '
                        'ovf:chunkSize="%d"' % (len(data), size))
    chunks = [("box.vmdk.gz.%09d" % i, data[i * size:(i + 1) * size])
              for i in range(2)]
    listed = manifest([("box.ovf", descriptor)] + chunks)
    return put(out, tar(("box.ovf", descriptor), ("box.mf", listed), *chunks))


def pack(how, out):
    if how in ("gzip-twice", "gzip-chunks"):
        return pack_twice(out) if how == "gzip-twice" else pack_chunks(out)
    ending, codec, damage = PACK[how]
    name, data = "box.vmdk" + ending, codec(DISK)
    attributes = 'ovf:compression="gzip"' if ending == ".gz" else ""
    descriptor = simple(name, attributes)
    listed = manifest([("box.ovf", descriptor), (name, data)])
    return put(out, tar(("box.ovf", descriptor), ("box.mf", listed),
                        (name, damage(data) if damage else data)))


def make_all(cases, where):
    for name, case in cases.items():
        make, error = case if isinstance(case, tuple) else (case, "")
        folder = os.path.join(where, name)
        os.makedirs(folder)
        print(name, make(folder), error)


def main(argv):
    global DISK, SOURCE
    if len(argv) < 4:
        sys.exit(__doc__)
    SOURCE, where = argv[-2:]
    with open(SOURCE, "rb") as f:
        DISK = f.read()
    if argv[1] == "make":
        make = ODD.get(argv[2]) or HOSTILE[argv[2]][0]
        os.makedirs(where, exist_ok=True)
        print(make(where))
    elif argv[1] == "pack":
        pack(argv[2], where)
    else:
        make_all({"odd": ODD, "hostile": HOSTILE}[argv[1]], where)


if __name__ == "__main__":
    main(sys.argv)
