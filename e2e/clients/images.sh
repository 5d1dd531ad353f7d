#!/bin/sh
# Images by other programs than docker, in mounts of our own. In the environment: WITH, which of skopeo, podman and
# buildah; SOCKET, the daemon's; REGISTRY, host and port of a registry.
set -eu
. "$(dirname "$0")/steps.sh"
ask() { curl -sf --unix-socket "$SOCKET" "http://docker$1"; }

# A store of one's own, without mounts that outlive a command.
mkdir -p store run
cat > storage.conf <<END
[storage]
driver = "vfs"
graphroot = "$PWD/store"
runroot = "$PWD/run"
END
export CONTAINERS_STORAGE_CONF="$PWD/storage.conf" TMPDIR="$PWD"
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > policy.json

skopeo_day() {
    step "out of the daemon, into a registry, back into the daemon"
    sk() { skopeo --policy policy.json "$@"; }
    sk inspect --daemon-host "unix://$SOCKET" docker-daemon:busybox:1.36 > out; has out '"Layers"'
    sk copy --src-daemon-host "unix://$SOCKET" --dest-tls-verify=false docker-daemon:busybox:1.36 \
        "docker://$REGISTRY/team/busy:v1"
    sk copy --src-tls-verify=false --dest-daemon-host "unix://$SOCKET" "docker://$REGISTRY/team/busy:v1" \
        docker-daemon:back:v1
    is "$(ask /images/back:v1/json | sed 's/.*"Id":"\([^"]*\)".*/\1/')" \
        "$(ask /images/busybox:1.36/json | sed 's/.*"Id":"\([^"]*\)".*/\1/')"
    sk copy --src-daemon-host "unix://$SOCKET" docker-daemon:back:v1 oci:layout:v1
    sk copy --dest-daemon-host "unix://$SOCKET" oci:layout:v1 docker-daemon:again:v1
    ask /images/again:v1/json > out; has out again:v1
    step "a registry"
    sk list-tags --tls-verify=false "docker://$REGISTRY/team/busy" > out; has out '"v1"'
    sk delete --tls-verify=false "docker://$REGISTRY/team/busy:v1"
    fails 1 sk inspect --tls-verify=false "docker://$REGISTRY/team/busy:v1" 2> err
}

# What podman and buildah have in common.
both() {
    # Debian's look for the daemon at the usual place and nowhere else.
    mount -t tmpfs none /run; ln -s "$SOCKET" /run/docker.sock
    step "pull from the daemon, push to a registry and back into the daemon"
    "$WITH" pull --signature-policy policy.json docker-daemon:busybox:1.36 > out
    "$WITH" images > out; has out busybox
    "$WITH" push --signature-policy policy.json --tls-verify=false busybox:1.36 "docker://$REGISTRY/team/busy:v1"
    "$WITH" push --signature-policy policy.json busybox:1.36 docker-daemon:back:v1
    ask /images/back:v1/json > out; has out back:v1
    step "pull from a registry"
    "$WITH" rmi -f busybox:1.36 > out
    "$WITH" pull --signature-policy policy.json --tls-verify=false "docker://$REGISTRY/team/busy:v1" > out
    "$WITH" images > out; has out team/busy
    fails 125 "$WITH" pull --signature-policy policy.json --tls-verify=false "docker://$REGISTRY/team/busy:no" 2> err
}

case $WITH in
skopeo) skopeo_day ;;
podman | buildah) both ;;
*) wrong "there is no day for \`$WITH\`" ;;
esac
echo "the day is done"
