#!/bin/sh
# Builds with buildx and the driver that is the daemon's own. In the environment: DOCKER, the program; DOCKER_HOST.
set -eu
. "$(dirname "$0")/steps.sh"
docker() { "$DOCKER" "$@"; }
built() { docker buildx build --builder default --progress plain "$@" > build.log 2>&1 || { cat build.log; exit 1; }; }

step "what there is"
docker buildx ls > out; has out "default.*docker"; has out running
docker buildx inspect > out; has out "Driver: *docker"; has out "linux/amd64\|linux/arm64"

step "stages, arguments, targets"
mkdir ctx; echo own > ctx/own.txt
cat > ctx/Dockerfile <<'END'
# syntax=docker/dockerfile:1
FROM busybox:1.36 AS base
ARG WHO=nobody
RUN <<EOF
echo "made for $WHO" > /text
EOF
FROM base AS test
RUN exit 7
FROM base AS files
COPY --chmod=640 --chown=7:8 own.txt /srv/
FROM scratch AS out
COPY --from=base /text /
FROM files
RUN --mount=type=secret,id=word cat /run/secrets/word > /seen
RUN --mount=type=cache,target=/cache echo line >> /cache/lines && wc -l < /cache/lines > /count
RUN --mount=type=bind,source=own.txt,target=/bound cat /bound >> /seen
CMD cat /text /seen /count
END
printf secret > word
built --load -t app:v1 --build-arg WHO=us --secret id=word,src=word ctx
is "$(docker run --rm app:v1 | tr '\n' ' ')" "made for us secretown 1 "
is "$(docker run --rm app:v1 stat -c '%a %u %g' /srv/own.txt)" "640 7 8"
built --load -t app:v2 --build-arg WHO=us --secret id=word,src=word ctx; has build.log CACHED
is "$(docker images -q --no-trunc app:v1)" "$(docker images -q --no-trunc app:v2)"

step "what comes out"
built --target out --output type=local,dest=out.d ctx; is "$(cat out.d/text)" "made for nobody"
built --target out --output type=tar,dest=out.tar ctx; tar -tf out.tar > out; has out text
built --iidfile id --target files ctx; is "$(docker inspect -f '{{.Id}}' "$(cat id)")" "$(cat id)"

step "what goes wrong"
fails 1 docker buildx build --progress plain --target test ctx > build.log 2>&1; has build.log "exit code: 7"
fails 1 docker buildx build --progress plain --target nowhere ctx > build.log 2>&1; has build.log nowhere
fails 1 docker buildx build --progress plain --platform linux/s390x ctx > build.log 2>&1; has build.log s390x

step "checks"
mkdir odd; printf 'FROM busybox:1.36 AS Odd\nWORKDIR x\nCMD true\n' > odd/Dockerfile
fails 1 docker buildx build --builder default --check odd > build.log 2>&1
has build.log "WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/"
has build.log WorkdirRelativePath; has build.log "Dockerfile:2"
built odd; has build.log "WARN: JSONArgsRecommended: JSON arguments recommended"
sed -i '1i # check=error=true' odd/Dockerfile
fails 1 docker buildx build --builder default --progress plain odd > build.log 2>&1
has build.log "lint violation found for rules: JSONArgsRecommended, StageNameCasing, WorkdirRelativePath"
built --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all odd

step "what is kept for later builds"
docker buildx du > out; has out "^Total:"
docker buildx du --verbose > out; has out "^Type: *source.local"
docker buildx prune -af > out; has out "^Total:"
docker buildx du > out; has out "^Total:.*[^0-9.]0B"
built --load -t app:v3 --build-arg WHO=us --secret id=word,src=word ctx
is "$(grep -c CACHED build.log)" 0
is "$(docker run --rm app:v3 cat /count)" 1
# Who names a part is not to lose more than that.
fails 1 docker buildx prune -af --filter type=exec.cachemount > out 2>&1; has out "the filter"

docker image prune -af > out
echo "the day is done"
