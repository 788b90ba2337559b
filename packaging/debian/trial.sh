# Installs the package, which is the argument, in a copy of this machine, and tries what its users do. Run by `cargo xtask ci`
# in namespaces of mounts, network and processes; everything is gone with them.
set -eu

say() { echo "trial: $*"; }
fail() { echo "trial: $*" >&2; exit 1; }
# Tries for 20 seconds, and goes on as soon as it works.
until_true() {
    tries=0
    until "$@" > /dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || fail "not in time: $*"
        sleep 0.1
    done
}

mount --make-rprivate /
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
root=/mnt/root
mount -t proc proc $root/proc
mount --rbind /dev $root/dev
mount -t tmpfs none $root/run
mount -t tmpfs none $root/tmp
ip link set lo up
cp "$1" $root/tmp/tidewire.deb
inside() { chroot $root "$@"; }
export DEBIAN_FRONTEND=noninteractive

say "install"
inside dpkg --install /tmp/tidewire.deb
inside getent passwd tidewire
[ "$(inside stat -c '%U:%G %a' /etc/tidewire/tidewire.toml)" = "root:tidewire 640" ] || fail "rights of the configuration"
[ -L $root/etc/systemd/system/multi-user.target.wants/tidewire.service ] || fail "the server is not enabled"
[ ! -e $root/etc/systemd/system/multi-user.target.wants/tidewire-gateway.service ] || fail "the gateway is enabled"
inside tidewire check-config /etc/tidewire/tidewire.toml
inside tidewire check-config --gateway /etc/tidewire/gateway.toml

say "units"
units="/usr/lib/systemd/system/tidewire.service /usr/lib/systemd/system/tidewire-gateway.service"
for unit in $units; do
    inside systemd-analyze verify --man=no "$unit"
done
# 0 is locked up, 10 is open.
for unit in $units; do
    inside systemd-analyze security --offline=yes --threshold=25 "$unit" > /mnt/security 2>&1 ||
        fail "$(cat /mnt/security)"
    tail -n 1 /mnt/security
done

# As the unit runs it: its user, no capabilities, a file system that is read-only but for the data directory.
start() {
    if [ ! -d $root/var/lib/tidewire ]; then
        inside install -d -o tidewire -g tidewire -m 0700 /var/lib/tidewire
    fi
    unshare --mount sh -c "
        mount --bind $root/var/lib/tidewire $root/var/lib/tidewire
        mount -o remount,bind,ro $root
        exec chroot $root setpriv --reuid tidewire --regid tidewire --clear-groups --no-new-privs \
            --bounding-set=-all --inh-caps=-all \
            tidewire serve --config /etc/tidewire/tidewire.toml --data-dir /var/lib/tidewire" &
    server=$!
    until_true curl --silent --fail http://127.0.0.1:8092/health
}
stop() {
    kill -TERM $server
    wait $server || fail "the server has ended with $?"
}

say "start as user tidewire"
start
curl --silent --show-error --fail http://127.0.0.1:8092/health
curl --silent --show-error --fail http://127.0.0.1:8092/send-message -H 'Content-Type: application/json' \
    -d '{"type":"text","sender":0,"recipients":[42],"text":"kept"}'
stop

say "upgrade"
echo '# changed by the administrator' >> $root/etc/tidewire/tidewire.toml
inside chmod 0600 /etc/tidewire/gateway.toml
inside dpkg --install /tmp/tidewire.deb
grep -q 'changed by the administrator' $root/etc/tidewire/tidewire.toml || fail "the configuration was written over"
[ "$(inside stat -c %a /etc/tidewire/gateway.toml)" = 600 ] || fail "the rights were changed"
start
waits=$(curl --silent --show-error --fail -X DELETE 'http://127.0.0.1:8092/messages?user=42')
[ "$waits" = '{"data":{"removed":1},"success":true}' ] || fail "the message is gone: $waits"
stop

say "remove"
inside dpkg --remove tidewire
[ -f $root/etc/tidewire/tidewire.toml ] || fail "the configuration is gone"
[ -f $root/var/lib/tidewire/mailbox.db ] || fail "the messages are gone"
inside dpkg --install /tmp/tidewire.deb

say "purge"
inside dpkg --purge tidewire
left=$(find $root/etc $root/usr $root/var/lib -path $root/var/lib/dpkg -prune -o -iname '*tidewire*' -newer $root/tmp/tidewire.deb -print)
[ -z "$left" ] || fail "left behind: $left"
say "all well"
