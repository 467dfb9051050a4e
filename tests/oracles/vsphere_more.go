// vsphere_more.go - vCenter's REST API beside the simulator's SOAP: VMware's own
// vapi/simulator (govmomi) keeps the tags and answers /rest; what stands before
// it here is what it does not look at: the password, rights, and the newer
// paths (/api, 7.0 U2 and later), which are the same values without "value".
// It is built together with the shared simulator (tests/lib-vsphere.sh), whose
// main() calls restRoutes().  Also: how many connections that carry disks are
// open at once (GET /_sim/connections: now, the most so far, all so far).
//
// SPDX-License-Identifier: LGPL-2.1-or-later
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	vapi "github.com/vmware/govmomi/vapi/simulator"
	"github.com/vmware/govmomi/vim25"
)

// POST /_sim/rest?mode=: newer: /api as well, and the version that has it; old:
// that version, but no /api; absent; denied: the log-in is; down: 503; locked:
// tags may not be read; brief: a session bears three requests.
var restMode = "on"

const restSession = "/rest/com/vmware/cis/session"

var (
	restLock sync.Mutex
	restOpen = map[string]int{} // requests
	restTags http.Handler
)

func restRoutes(mux *http.ServeMux) {
	_, restTags = vapi.New(&url.URL{}, nil)
	about := &simulator.Map.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.About
	was := about.ApiVersion
	mux.HandleFunc("/rest/", serveREST)
	mux.HandleFunc("/api/", serveAPI)
	mux.HandleFunc("/_sim/rest", func(w http.ResponseWriter, r *http.Request) {
		restLock.Lock()
		defer restLock.Unlock()
		if m := r.URL.Query().Get("mode"); m != "" {
			restMode, about.ApiVersion = m, was
			if m == "newer" || m == "old" {
				about.ApiVersion = "7.0.3.0"
			}
		}
		fmt.Fprintln(w, len(restOpen))
	})
}

// One request of a client of ours, whichever way it came; answers by the library.
func restAnswer(r *http.Request) *httptest.ResponseRecorder {
	mode := restModeNow()
	w := httptest.NewRecorder()
	id := r.Header.Get("vmware-api-session-id")
	session := r.URL.Path == restSession
	switch {
	case mode == "absent":
		http.NotFound(w, r)
		return w
	case mode == "down":
		w.WriteHeader(http.StatusServiceUnavailable)
		return w
	case session && r.Method == http.MethodPost:
		u, p, ok := r.BasicAuth()
		if !ok || u != *user || p != *pass || mode == "denied" {
			w.WriteHeader(http.StatusUnauthorized)
			return w
		}
	default:
		restLock.Lock()
		_, known := restOpen[id]
		if restOpen[id]++; !known || (mode == "brief" && restOpen[id] > 3) {
			delete(restOpen, id)
			known = false
		}
		restLock.Unlock()
		if !known {
			w.WriteHeader(http.StatusUnauthorized)
			return w
		}
		if mode == "locked" && strings.Contains(r.URL.Path, "/tagging/tag/") {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"type":"com.vmware.vapi.std.errors.unauthorized","value":{"messages":[{"args":[],"default_message":"Access is denied","id":"x"}]}}`)
			return w
		}
	}
	restTags.ServeHTTP(w, r)
	var made struct{ Value string }
	restLock.Lock()
	defer restLock.Unlock()
	if session && r.Method == http.MethodPost && json.Unmarshal(w.Body.Bytes(), &made) == nil {
		restOpen[made.Value] = 0
	}
	if session && r.Method == http.MethodDelete {
		delete(restOpen, id)
	}
	return w
}

type connKey struct{}

var http1 = flag.Bool("http1", false, "HTTP/1.1 alone, as hosts before 8.0")

var (
	connLock         sync.Mutex
	connData         = map[net.Conn]bool{}
	connMost, connUp int
)

// A connection counts from its first request for a disk until it is closed.
func countData(srv *http.Server) {
	next := srv.Handler
	if *http1 {
		srv.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		connLock.Lock()
		defer connLock.Unlock()
		if state == http.StateClosed && connData[c] {
			delete(connData, c)
		}
	}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(net.Conn)
		connLock.Lock()
		if strings.HasPrefix(r.URL.Path, "/folder") || strings.HasPrefix(r.URL.Path, "/nfc/") {
			if !connData[c] {
				connUp++
			}
			connData[c] = true
			if len(connData) > connMost {
				connMost = len(connData)
			}
		}
		if r.URL.Path == "/_sim/connections" {
			fmt.Fprintln(w, len(connData), connMost, connUp)
			connLock.Unlock()
			return
		}
		connLock.Unlock()
		next.ServeHTTP(w, r)
	})
}

func restModeNow() string {
	restLock.Lock()
	defer restLock.Unlock()
	return restMode
}

func restLog(r *http.Request) {
	if *verbose {
		log.Printf("rest %s %s", r.Method, r.URL.RequestURI())
	}
}

func serveREST(w http.ResponseWriter, r *http.Request) {
	restLog(r)
	a := restAnswer(r)
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes())
}

// /api/session and /api/cis/tagging/... in terms of the older ones.
func serveAPI(w http.ResponseWriter, r *http.Request) {
	restLog(r)
	if restModeNow() != "newer" {
		http.NotFound(w, r)
		return
	}
	old := r.Clone(r.Context())
	path := strings.TrimPrefix(r.URL.Path, "/api/")
	for _, kind := range []string{"cis/tagging/tag/", "cis/tagging/category/"} {
		if strings.HasPrefix(path, kind) {
			path = kind + "id:" + strings.TrimPrefix(path, kind)
		}
	}
	if path == "session" {
		path = "cis/session"
	}
	old.URL.Path, old.URL.RawPath = "/rest/com/vmware/"+path, ""
	old.URL.RawQuery = strings.Replace(r.URL.RawQuery, "action=", "~action=", 1)
	a := restAnswer(old)
	var value struct{ Value json.RawMessage }
	code := a.Code
	if code == http.StatusOK && path == "cis/session" && r.Method == http.MethodPost {
		code = http.StatusCreated
	}
	body := a.Body.Bytes()
	if a.Code == http.StatusOK {
		_ = json.Unmarshal(body, &value)
		body = bytes.TrimSpace(value.Value)
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
