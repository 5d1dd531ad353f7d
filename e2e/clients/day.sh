#!/bin/sh
# A day's work with the docker command. In the environment: DOCKER, its program; DOCKER_HOST; BUILDS, how it builds: as
# DOCKER_BUILDKIT has it; REGISTRY, host and port of a registry, or nothing.
set -eu
. "$(dirname "$0")/steps.sh"
docker() { "$DOCKER" "$@"; }
export DOCKER_BUILDKIT="$BUILDS"

step "versions"
docker version > out; has out "Server"
docker info > out 2>&1 || cat out; has out "Containers: 0"

step "run: output, input, exit codes"
is "$(docker run --rm busybox:1.36 echo hello)" hello
is "$(docker run --rm -e A=b -w /tmp -u 7:8 busybox:1.36 sh -c 'echo $A $(pwd) $(id -u):$(id -g)')" "b /tmp 7:8"
is "$(echo typed | docker run --rm -i busybox:1.36 cat)" typed
docker run --rm busybox:1.36 sh -c 'echo out; echo err >&2' > out 2> err; is "$(cat out)" out; is "$(cat err)" err
fails 3 docker run --rm busybox:1.36 sh -c 'exit 3'
fails 127 docker run --rm busybox:1.36 no-such-program
fails 126 docker run --rm busybox:1.36 /etc/passwd
fails 125 docker run --rm --network no-such-network busybox:1.36 true
is "$(docker ps -aq)" ""
# A megabyte in and out again.
head -c 1000000 /dev/zero | tr '\0' x > big
docker run --rm -i busybox:1.36 cat < big > out; cmp big out

step "run: a terminal"
script -qec "$DOCKER run --rm -it busybox:1.36 sh -c 'tty; stty size'" /dev/null < /dev/null > out; has out /dev/pts/

step "containers: start, logs, exec"
docker run -d --name box -l shift=day -p 127.0.0.1::80 -v stock:/stock busybox:1.36 \
    sh -c 'echo first; echo second >&2; touch /ready; exec httpd -f -p 80 -h /stock' > id
until_ok docker exec box test -e /ready
is "$(docker logs box 2> /dev/null)" first
is "$(docker logs box 2>&1 > /dev/null)" second
is "$(docker logs --tail 1 box 2>&1)" second
docker logs -t box > out 2>&1; has out "T..:..:.*Z first"
fails 4 docker exec box sh -c 'exit 4'
is "$(echo in | docker exec -i box cat)" in
is "$(docker exec -w /tmp -e A=c box sh -c 'pwd; echo $A' | tr '\n' ' ')" "/tmp c "
fails 127 docker exec box no-such-program
docker exec -d box touch /detached; until_ok docker exec box test -e /detached
is "$(docker ps --filter label=shift=day --format '{{.Names}} {{.Image}}')" "box busybox:1.36"
is "$(docker inspect -f '{{.State.Status}} {{.Config.Labels.shift}}' box)" "running day"
docker exec box sh -c 'echo served > /stock/index.html'
is "$(curl -sf --retry 20 --retry-connrefused --retry-delay 1 "http://$(docker port box 80)/")" served

step "cp, diff, stats, top"
mkdir -p tree/sub; echo a > tree/a; echo b > tree/sub/b; ln -sf a tree/link
docker cp tree box:/tree; is "$(docker exec box cat /tree/sub/b)" b
docker cp box:/tree/. back; cmp tree/sub/b back/sub/b; is "$(readlink back/link)" a
docker cp box:/tree/a single; is "$(cat single)" a
tar -C tree -cf - a | docker cp - box:/tmp; is "$(docker exec box cat /tmp/a)" a
docker cp box:/tree - | tar -tf - > out; has out tree/sub/b
fails 1 docker cp box:/nowhere nowhere
docker diff box > out; has out "A /tree/sub/b"
docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' box > out; has out "box .*iB / .*iB [1-9]"
docker top box > out; has out httpd

step "pause, rename, update, restart, kill, wait"
docker pause box; is "$(docker inspect -f '{{.State.Status}}' box)" paused; docker unpause box
docker rename box chest; docker update --memory 64m --memory-swap 64m chest
is "$(docker inspect -f '{{.HostConfig.Memory}}' chest)" 67108864
docker restart -t 0 chest; is "$(docker inspect -f '{{.State.Running}}' chest)" true
"$DOCKER" wait chest > waited & waiting=$!
docker kill -s KILL chest; wait "$waiting"; is "$(cat waited)" 137
docker commit -m 'as it stands' -c 'CMD cat /tree/a' chest stand:v1 > id
is "$(docker run --rm stand:v1)" a
docker export chest | tar -tf - > out; has out tree/sub/b
docker rm chest; fails 1 docker inspect chest

step "attach"
docker create -i --name sink busybox:1.36 sh -c 'read line; echo "got $line"; exit 5' > id
fails 5 sh -c 'echo words | "$DOCKER" start -ai sink > out'; is "$(cat out)" "got words"
docker rm sink

step "networks and volumes"
docker network create --label of=day harbour
docker run -d --name one --network harbour --network-alias first busybox:1.36 sleep 300
docker run --rm --network harbour busybox:1.36 ping -c 1 -w 10 first > out; has out "1 packets received"
docker network inspect -f '{{len .Containers}}' harbour > out; is "$(cat out)" 1
docker network disconnect harbour one; docker network connect --alias again harbour one
docker rm -f one; docker network rm harbour
is "$(docker volume ls -q)" stock; is "$(docker run --rm -v stock:/s busybox:1.36 cat /s/index.html)" served
docker volume create --label of=day crate; docker volume inspect crate > out; has out '"of": "day"'
docker volume rm crate stock

step "build"
quietly() { "$@" > build.log 2>&1 || { cat build.log; exit 1; }; }
mkdir -p ctx; echo own > ctx/own.txt; echo no > ctx/hidden; echo hidden > ctx/.dockerignore
cat > ctx/Dockerfile <<'END'
FROM busybox:1.36 AS make
ARG WHO=nobody
RUN mkdir /out && echo "made for $WHO" > /out/text
FROM busybox:1.36
COPY --from=make /out/text /text
COPY . /srv/
WORKDIR /srv
ENV GREETING=ahoy
LABEL of=day
CMD echo $GREETING; cat /text; ls -A
END
quietly docker build -t app:v1 --build-arg WHO=us ctx
is "$(docker run --rm app:v1 | tr '\n' ' ')" "ahoy made for us .dockerignore Dockerfile own.txt "
quietly docker build -t app:v2 --build-arg WHO=us ctx; has build.log -i "cache"
is "$(docker images -q app:v1)" "$(docker images -q app:v2)"
# The classic builder's steps are images, too, for those who ask.
docker images -a > out; [ "$BUILDS" = 1 ] || has out "<none>"; docker images > out; fails 1 grep -q "<none>" out
printf 'FROM busybox:1.36\nRUN echo why it failed && exit 9\n' > ctx/Broken
# The classic builder's client ends as the command did.
[ "$BUILDS" = 0 ] && code=9 || code=1
fails $code docker build -f ctx/Broken ctx > build.log 2>&1; has build.log "why it failed"; has build.log 9
printf 'FROM busybox:1.36\nCOPY nowhere /\n' | fails 1 docker build -f - ctx > build.log 2>&1; has build.log nowhere

step "images: tag, history, save, load, rm"
docker tag app:v1 kept:v1; docker history kept:v1 > out; has out GREETING
docker save -o saved.tar kept:v1; docker rmi kept:v1 app:v1 app:v2
fails 1 docker inspect app:v1 2> err; has err -i 'no such object: app:v1'
docker load -i saved.tar > out; has out "Loaded image: kept:v1"
is "$(docker run --rm kept:v1 | head -1)" ahoy
docker images --filter label=of=day --format '{{.Repository}}' > out; has out kept

if [ -n "${REGISTRY:-}" ]; then
    step "push and pull"
    docker tag kept:v1 "$REGISTRY/team/app:v1"; docker push "$REGISTRY/team/app:v1" > out; has out "digest: sha256:"
    docker rmi kept:v1 "$REGISTRY/team/app:v1"; docker pull "$REGISTRY/team/app:v1" > out; has out "Digest: sha256:"
    is "$(docker run --rm "$REGISTRY/team/app:v1" | head -1)" ahoy
    is "$(docker run --rm --pull always "$REGISTRY/team/app:v1" 2> /dev/null | head -1)" ahoy
    fails 1 docker pull "$REGISTRY/team/app:nowhere" 2> err; has err -i "not found\|unknown"
    docker tag "$REGISTRY/team/app:v1" kept:v1
fi

step "events and the end of the day"
past() { docker events --since 0 --until "$(date +%s)" --format '{{.Action}}' "$@"; }
for action in create start die destroy; do past --filter type=container > out; has out -x "$action"; done
past --filter type=image --filter event=tag > out; has out -x tag
# Not by the function, whose shell would be killed in its place.
"$DOCKER" events --filter container=brief --format '{{.Action}}' > out & watching=$!
told() { docker run --name brief busybox:1.36 true && docker rm brief && grep -qx create out && grep -qx destroy out; }
until_ok told; kill "$watching"; has out -x start; has out -x die
docker system df > out; has out Images
docker run --name left busybox:1.36 true
docker container prune -f > out; has out "Total reclaimed space"; is "$(docker ps -aq)" ""
docker volume prune -f > out; docker network prune -f > out; docker image prune -af > out
docker images > out; is "$(docker images -q)" "" || cat out
echo "the day is done"
