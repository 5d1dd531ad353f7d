#!/bin/sh
# An app up and down with compose. In the environment: COMPOSE, the command with its words; DOCKER_HOST.
set -eu
. "$(dirname "$0")/steps.sh"
compose() { $COMPOSE "$@"; }

mkdir -p app/web; cd app
cat > web/Dockerfile <<'END'
FROM busybox:1.36
ARG GREETING
RUN mkdir /www && echo "$GREETING" > /www/index.html
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
END
cat > docker-compose.yml <<'END'
services:
  web:
    build:
      context: web
      args: {GREETING: ahoy}
    image: web:v1
    ports: ["127.0.0.1::80"]
    environment: {A: "${A:-b}"}
    healthcheck: {test: ["CMD", "wget", "-qO", "/dev/null", "http://127.0.0.1/"], interval: 1s, retries: 20}
    labels: {shift: day}
    stop_grace_period: 0s
  client:
    image: busybox:1.36
    command: sh -c 'until wget -qO /kept/page http://web/; do sleep 0.1; done; echo fetched; cat'
    stdin_open: true
    depends_on: [web]
    volumes: ["kept:/kept"]
    networks: {default: {aliases: [peer]}}
    stop_grace_period: 0s
volumes: {kept: {labels: {of: day}}}
END

step "config and build"
compose config > out; has out "GREETING: ahoy"
compose build > out 2>&1 || { cat out; exit 1; }

step "up"
compose up -d > out 2>&1 || { cat out; exit 1; }
compose ps > out; has out "web"; has out "client"
web=$(compose ps -q web); client=$(compose ps -q client)
[ -n "$web" ] && [ -n "$client" ]
is "$(curl -sf --retry 20 --retry-connrefused --retry-delay 1 "http://$(compose port web 80)/")" ahoy
fetched() { compose logs client 2>&1 | grep -q fetched; }
until_ok fetched

step "exec, run, logs, events"
is "$(compose exec -T web sh -c 'echo $A')" b
fails 4 compose exec -T web sh -c 'exit 4'
is "$(compose run --rm --no-deps -T client cat /kept/page 2> /dev/null)" ahoy
compose exec -T web ping -c 1 -w 10 peer > out; has out "1 packets received"
compose top > out; has out httpd

step "up again changes nothing, a change replaces"
compose up -d > out 2>&1; is "$(compose ps -q web)" "$web"
A=c compose up -d > out 2>&1 || { cat out; exit 1; }
[ "$(compose ps -q web)" != "$web" ] || wrong "the changed service was not replaced"
is "$(compose exec -T web sh -c 'echo $A')" c
is "$(compose run --rm --no-deps -T client cat /kept/page 2> /dev/null)" ahoy

step "scale, pause, restart, stop, start"
compose up -d --no-recreate --scale client=2 > out 2>&1 || { cat out; exit 1; }
is "$(compose ps -q client | wc -l)" 2
compose pause web > out 2>&1; compose unpause web > out 2>&1
compose restart -t 0 web > out 2>&1; compose stop -t 0 client > out 2>&1; compose start client > out 2>&1
compose kill web > out 2>&1; compose rm -f web > out 2>&1; is "$(compose ps -q web)" ""

step "down"
compose down -v --rmi all --remove-orphans -t 0 > out 2>&1 || { cat out; exit 1; }
is "$(compose ps -q)" ""
left=$(curl -s --unix-socket "${DOCKER_HOST#unix://}" http://docker/containers/json?all=1); is "$left" "[]"
left=$(curl -s --unix-socket "${DOCKER_HOST#unix://}" http://docker/volumes); case $left in *'"Volumes":[]'*) ;; *) wrong "$left" ;; esac
echo "the day is done"
