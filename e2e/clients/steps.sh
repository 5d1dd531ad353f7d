# What the scripts here check with. Each step is told as it begins, so that a failure says where it was.

# Tells what comes now.
step() { echo "-- $*"; }

# Where a failure is told, wherever the output of the command that failed goes.
exec 3>&2

# Fails and says why.
wrong() { echo "wrong: $*" >&3; exit 1; }

# Two texts are the same.
is() { [ "$1" = "$2" ] || wrong "\`$1\` where \`$2\` was expected"; }

# A file has a line that matches: has FILE [-i] PATTERN.
has() {
    file=$1; shift
    grep -q "$@" "$file" || { cat "$file" >&3; wrong "nothing in \`$file\` matches \`$*\`"; }
}

# A command ends with this code.
fails() {
    code=$1; shift
    set +e; "$@"; got=$?; set -e
    [ "$got" = "$code" ] || wrong "\`$*\` ended with $got where $code was expected"
}

# A command succeeds within ten seconds.
until_ok() {
    end=$(($(date +%s) + 10))
    until "$@"; do
        [ "$(date +%s)" -lt "$end" ] || wrong "\`$*\` did not succeed in time"
        sleep 0.1
    done
}
