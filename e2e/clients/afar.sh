#!/bin/sh
# Builds of what lies elsewhere. In the environment: DOCKER, the program; BUILDS, 1 for BuildKit; REPOSITORY, a git
# repository with the tag v1; DOCKER_HOST.
set -eu
. "$(dirname "$0")/steps.sh"
export DOCKER_BUILDKIT="$BUILDS"
docker() { "$DOCKER" "$@"; }
quietly() { "$@" > build.log 2>&1 || { cat build.log; exit 1; }; }

step "a git repository as the context"
# Without BuildKit the old command fetches by itself, and thinks that branches are called master.
[ "$BUILDS" = 0 ] && first="$REPOSITORY#main" || first="$REPOSITORY"
quietly docker build -t app "$first"; is "$(docker run --rm app)" "of main"
quietly docker build -t app "$REPOSITORY#v1"; is "$(docker run --rm app)" "of v1"
quietly docker build -t app "$REPOSITORY#v1:sub"; is "$(docker run --rm app)" "sub of v1"
fails 1 docker build "$REPOSITORY#none" > build.log 2>&1; has build.log none

step "a git repository as a source"
mkdir ctx; printf 'FROM busybox:1.36\nADD --chown=7 %s#v1 /r\nCMD stat -c %%u /r/text; cat /r/text\n' "$REPOSITORY" > ctx/Dockerfile
quietly docker build -t app ctx; is "$(docker run --rm app | tr '\n' ' ')" "7 of v1 "

docker image prune -af > out
echo "the day is done"
