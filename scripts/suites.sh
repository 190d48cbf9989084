# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: Apache-2.0
# Packages of Debian suites that this system does not use, without a change to its own sources and
# state. Sourced; it wants `set -euo pipefail`, and a folder of its own in $tmp.

keys=/usr/share/keyrings/debian-archive-keyring.gpg

tell() { echo "${0##*/}: $*" >&2; }
# what ends a suite ends the subshell that it runs in, and no more
die() { tell "$*"; exit 1; }

site_find() { # sets site: where this host gets Debian from
	command -v apt-get >/dev/null || die "this is not a Debian system"
	# shellcheck disable=SC2016 # apt expands these, not the shell
	site=$(apt-get indextargets --format '$(ORIGIN) $(SITE)' 'Created-By: Packages' |
		sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | grep -v -- '-security$' | head -1) || true
	[ -n "$site" ] || die "apt has no Debian mirror among its sources (or was never updated)"
	[ -r "$keys" ] || die "$keys is missing: install debian-archive-keyring"
}

quiet() { # command...: its words only if it fails
	"$@" >"$tmp/log" 2>&1 || {
		tail -5 "$tmp/log" >&2
		die "${1##*/} failed"
	}
}

# apt with another suite's lists and nothing of the system's state: sets the array apt
apt_for() { # suite [deb-src]
	mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
	echo "${2:-deb} [signed-by=$keys] $site $1 main" >"$tmp/sources.list"
	: >"$tmp/status" # nothing is installed there: no dependency counts as there already
	apt=(-o "Dir::State::Lists=$tmp/lists" -o "Dir::State::status=$tmp/status"
		-o "Dir::Cache=$tmp/cache" -o "Dir::Etc::SourceList=$tmp/sources.list"
		-o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
		-o Acquire::Languages=none -o APT::Sandbox::User=root -o APT::Default-Release=
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
		-o Acquire::Retries=3)
	quiet apt-get "${apt[@]}" update
}
