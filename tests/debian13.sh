#!/bin/bash
# Does the project build and pass its tests on Debian 13, with the compilers, libraries and broker of that release?
# A chroot of it is made outside the project, once, and kept; each run copies the tree into it.

# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
exec </dev/null

RELEASE=trixie
# Other tools judge other things, whatever the code does: these two are for the release we develop on.
#   format  clang-format 19 breaks lines otherwise than 14
#   tidy    clang-tidy 19 has checks that 14 has not
WITHOUT=(format tidy)

usage() {
	cat <<'USAGE'
usage: tests/debian13.sh [--dir DIR] [--mirror URL] [--only NAME] [--long]
       tests/debian13.sh [--dir DIR] --delete

--dir DIR     where the chroot is, or is to be made (default: keyturn/trixie in $XDG_CACHE_HOME or ~/.cache)
--mirror URL  where Debian comes from (default: as this machine's apt has it)
--only, --long  for tests/run.sh, which runs inside
--delete      nothing but take the chroot away
USAGE
}

dir=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/keyturn/$RELEASE
mirror='' delete='' inner=()
while [ $# -gt 0 ]; do
	case $1 in
	--dir | --mirror | --only)
		[ -n "${2-}" ] || { usage >&2; exit 2; }
		case $1 in
		--dir) dir=$2 ;;
		--mirror) mirror=$2 ;;
		--only) inner+=(--only "$2") ;;
		esac
		shift
		;;
	--long) inner+=(--long) ;;
	--delete) delete=1 ;;
	-h | --help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
if [ "$(id -u)" -ne 0 ]; then
	say 'a chroot needs root' >&2
	exit 2
fi
dir=$(realpath -m -- "$dir")
case $dir/ in
"$KT_ROOT"/* | /)
	say "--dir $dir: not inside the project" >&2
	exit 2
	;;
esac
MARK=$dir/.keyturn-chroot # only a directory with this file is ours to change or to take away

# No mount of ours is ever in this script's namespace (see inside), so nothing else can be reached by this.
remove_tree() { # DIRECTORY
	rm -rf --one-file-system -- "${1:?}"
}

if [ -n "$delete" ]; then
	[ -e "$MARK" ] || fatal "$dir: no chroot of ours"
	check "$dir is gone" remove_tree "$dir"
	finish
fi

# --- the chroot ---------------------------------------------------------------------------------------

# The site of this machine's own Debian sources.
own_mirror() {
	# shellcheck disable=SC2016 # apt's own placeholders
	apt-get indextargets --format '$(LABEL) $(COMPONENT) $(SITE)' 'Identifier: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 == "main" { print $3; exit }'
}

make_chroot() {
	local new=$dir.new log=$KT_TMP/debootstrap
	[ ! -e "$dir" ] || fatal "$dir: is there, and no chroot of ours"
	[ -n "$mirror" ] || mirror=$(own_mirror)
	if [ -z "$mirror" ]; then
		apt-get update -q >"$log" 2>&1
		mirror=$(own_mirror)
	fi
	[ -n "$mirror" ] || fatal "apt knows no Debian mirror here: name one with --mirror"
	say "making $dir"
	[ ! -e "$new.mark" ] || remove_tree "$new" # of a run that was ended
	[ ! -e "$new" ] || fatal "$new: is there"
	mkdir -p "$(dirname "$dir")"
	: >"$new.mark" || fatal "cannot write beside $dir"
	if ! debootstrap --variant=minbase --include=ca-certificates "$RELEASE" "$new" "$mirror" >"$log" 2>&1; then
		tail -n 20 "$log"
		fatal "debootstrap failed; $new is left for a look"
	fi
	printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # no package starts a service
	chmod 755 "$new/usr/sbin/policy-rc.d"
	apt-config dump | grep -E '^Acquire::(https?|ftp)::.*[Pp]roxy' >"$new/etc/apt/apt.conf.d/90proxy"
	: >"$new/.keyturn-chroot"
	mv -T -- "$new" "$dir" || fatal "cannot rename $new"
	rm -f -- "$new.mark"
}

# Runs in namespaces of its own: its mounts and its processes end with it, however it ends.
inside() { # DIRECTORY COMMAND...
	local root=$1 node
	shift
	mount --make-rprivate / &&
		mount -t proc proc "$root/proc" && mount -t sysfs -o ro sysfs "$root/sys" &&
		mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" && mount -t tmpfs -o mode=755 tmpfs "$root/run" &&
		mount -t tmpfs -o mode=755 tmpfs "$root/dev" || return 125
	for node in null zero full random urandom tty; do
		: >"$root/dev/$node"
		mount --bind "/dev/$node" "$root/dev/$node" || return 125
	done
	mkdir "$root/dev/shm" "$root/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" &&
		mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts" || return 125
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	for node in 0:stdin 1:stdout 2:stderr; do
		ln -s "/proc/self/fd/${node%:*}" "$root/dev/${node#*:}"
	done
	cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
	exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8 "$@"
}

in_chroot() { # COMMAND...
	unshare --mount --pid --fork --kill-child bash -c "$(declare -f inside); inside \"\$@\"" inside "$dir" "$@"
}

# The files as they are, with the history that some tests read; no build, and no time of another clock.
copy_tree() {
	remove_tree "$dir/srv/keyturn" && mkdir "$dir/srv/keyturn" &&
		tar -C "$KT_ROOT" --exclude=./build -c . | tar -C "$dir/srv/keyturn" -x -m --no-same-owner
}

# --- the run --------------------------------------------------------------------------------------------

make_tmp
install_packages || fatal 'packages are missing'
[ -e "$MARK" ] || make_chroot
exec 9<"$MARK"
flock -n 9 || fatal "another run uses $dir"
check 'the tree is copied' copy_tree
check "the chroot is of $RELEASE" in_chroot grep -qx "VERSION_CODENAME=$RELEASE" /etc/os-release
for name in "${WITHOUT[@]}"; do
	inner+=(--without "$name")
done
code=0
# the last line are the counts
in_chroot bash -c 'cd /srv/keyturn && exec bash tests/run.sh "$@"' run.sh "${inner[@]}" 2>&1 9<&- |
	{
		last=
		while IFS= read -r line; do
			[ -z "$last" ] || say "$last"
			last=$line
		done
		say "$last" >"$KT_TMP/last"
	}
code=${PIPESTATUS[0]}
# shellcheck disable=SC2016 # dpkg's own placeholders
in_chroot dpkg-query -W -f '${Package} ${Version}\n' gcc mosquitto libssl-dev libwolfssl-dev libpaho-mqtt-dev \
	libsqlite3-dev libcjson-dev 2>&1
if [[ $(cat "$KT_TMP/last") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
	KT_PASSED=$((KT_PASSED + BASH_REMATCH[1]))
	KT_FAILED=$((KT_FAILED + BASH_REMATCH[2]))
	[ "$code" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || not_ok "run.sh: exit $code"
else
	not_ok 'run.sh ran to its end' "exit $code
$(cat "$KT_TMP/last")"
fi
remove_tree "$dir/srv/keyturn"
finish
