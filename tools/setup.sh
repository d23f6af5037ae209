#!/bin/sh
# Everything Hyper needs to run ("run"), to be tested ("test"), or to run all workloads ("workloads"), on Debian 12 or newer. Idempotent: a second call
# takes a second. Installs Debian packages only when some are missing; services that packages bring are not started,
# since what only the tests need is unpacked under build/ instead of being installed.
set -eu
cd "$(dirname "$0")/.."

level=${1:-run}
root=$PWD
assets=.venv/share/hyper
run_packages="python3 python3-venv qemu-system-x86 linux-source gcc libc6-dev make musl-tools bc bison flex
    libelf-dev kmod cpio xz-utils squashfs-tools-ng skopeo e2fsprogs bubblewrap util-linux nftables iproute2
    ca-certificates"
test_packages="apache2-utils clang libclang-rt-dev llvm clang-format busybox-static squashfs-tools openssl tmux attr
    iptables ipset procps gpg gpg-agent gpgconf mmdebstrap"
workload_packages="debootstrap golang-go rustc git"
# Unpacked under build/debs, never installed: they bring services that would be started.
unpacked_packages="docker-registry docker.io containerd runc runsc tini nginx nginx-common
    redis-server redis-tools libjemalloc2 liblzf1
    nfs-ganesha nfs-ganesha-vfs libntirpc4.3 liburcu8 libnfsidmap1 libwbclient0
    docker-compose python3-docker python3-dockerpty python3-docopt python3-dotenv python3-jsonschema python3-requests
    python3-texttable python3-websocket python3-cached-property python3-urllib3 python3-pyrsistent python3-attr
    python3-idna python3-certifi python3-chardet python3-charset-normalizer python3-distro python3-yaml libyaml-0-2
    python3-six python3-pkg-resources
    podman conmon libsubid4"

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

missing_packages() {
    for name in $1; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) || state=absent
        [ "$state" = installed ] || printf '%s ' "$name"
    done
}

install_packages() {
    missing=$(missing_packages "$1")
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || die "as root, please: apt-get install --no-install-recommends $missing"
    say "installing $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >build/apt.log 2>&1 ||
        { tail -20 build/apt.log >&2; die "apt-get failed (build/apt.log)"; }
}

unpack_packages() {
    stamp=build/debs/.done
    done=" $(cat $stamp 2>/dev/null || true) "  # the first time there is none
    missing=
    for name in $unpacked_packages; do
        case $done in *" $name "*) ;; *) missing="$missing $name" ;; esac
    done
    [ -n "$missing" ] || return 0
    say "fetching$missing (unpacked under build/debs, not installed)"
    rm -rf build/debs/cache
    mkdir -p build/debs/cache
    [ "$(id -u)" = 0 ] && apt-get update -qq
    # shellcheck disable=SC2086
    (cd build/debs/cache && apt-get download -qq $missing) 2>/dev/null ||
        die "apt-get download failed for:$missing"
    for deb in build/debs/cache/*.deb; do dpkg-deb -x "$deb" build/debs; done
    rm -rf build/debs/cache
    printf '%s' "$unpacked_packages" | tr -s '\n ' '  ' >$stamp
}

make_venv() {
    want=$(cat pyproject.toml requirements.txt | sha256sum)
    [ "$(cat .venv/.hyper 2>/dev/null)" = "$want" ] && return 0
    say "making .venv"
    [ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    printf '%s' "$want" >.venv/.hyper
}

build_guest() {
    mkdir -p $assets
    make -s -C guest/hyperstart O="$root/build/hyperstart"
    install_if_changed build/hyperstart/hyperstart.cpio $assets/initrd
    install_if_changed build/hyperstart/exercise.squashfs $assets/exercise.squashfs
    /usr/bin/python3 guest/hyperkernel/build.py --out build/hyperkernel
    for name in vmlinux kernel.json; do install_if_changed build/hyperkernel/$name $assets/$name; done
}

# Loaded into QEMU's virtiofsd, which it mends.
build_preload() {
    mkdir -p $assets build/fileserver
    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -Wl,-z,relro,-z,now \
        -o build/fileserver/preload.so host/fileserver/preload.c
    install_if_changed build/fileserver/preload.so $assets/virtiofsd-preload.so
}

# Debian 13's virtiofsd with the libraries it wants, where this Debian has none: from the mirror that it uses already.
unpack_rust_server() {
    server=$assets/virtiofsd
    [ ! -e /usr/libexec/virtiofsd ] && [ ! -e $server/virtiofsd ] || return 0
    from=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' 'Origin: Debian' |
        grep -v security | head -1)
    [ -n "$from" ] || { say "no mirror of Debian is known: tests of the virtiofsd in Rust are skipped"; return 0; }
    say "fetching Debian 13's virtiofsd (unpacked in $server, not installed)"
    lists=$root/build/trixie
    rm -rf "$lists"
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial" "$lists/debs" "$lists/root"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from trixie main" >"$lists/sources.list"
    options="-o Dir::Etc::SourceList=$lists/sources.list -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists=$lists/lists -o Dir::Cache=$lists/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    (cd "$lists/debs" && apt-get $options -qq update &&
        apt-get $options -qq download virtiofsd libc6 libgcc-s1 libcap-ng0 libseccomp2) >"$lists/log" 2>&1 ||
        { say "it cannot be had ($lists/log): its tests are skipped"; return 0; }
    for deb in "$lists"/debs/*.deb; do dpkg-deb -x "$deb" "$lists/root"; done
    mkdir -p $server.new
    (cd "$lists/root/usr/lib/x86_64-linux-gnu" &&
        cp -L ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libgcc_s.so.1 libcap-ng.so.0 libseccomp.so.2 "$root/$server.new")
    cp "$lists/root/usr/libexec/virtiofsd" $server.new
    rm -rf "$lists"
    mv $server.new $server
}

install_if_changed() {
    cmp -s "$1" "$2" || { cp "$1" "$2.new" && mv "$2.new" "$2"; }
}

mkdir -p build
install_packages "$run_packages"
[ "$level" = run ] || install_packages "$test_packages"
[ "$level" != workloads ] || install_packages "$workload_packages"
make_venv
.venv/bin/python -m hyper.cli.launcher .venv/bin/hyper
[ "$level" = run ] || unpack_packages
[ "$level" = run ] || unpack_rust_server
build_preload
build_guest
