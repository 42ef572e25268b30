#!/bin/sh
# import.sh [--remove] PREFIX native|docker: puts the example of the documents into the installation at PREFIX, or
# takes it out again. A file of the minimal application is replaced; one that somebody has changed is kept, and named.
# Taking out leaves changed files and data, and puts the minimal application back.
set -eu
remove=''
if [ "${1:-}" = --remove ]; then
	remove=1
	shift
fi
case ${2:-} in
native | docker) ;;
*)
	echo "usage: $0 [--remove] PREFIX native|docker" >&2
	exit 2
	;;
esac
prefix=$1
here=$(cd "$(dirname "$0")" && pwd)
example=$here/example/$2 minimal=$here/minimal
certs=$prefix/var/db/baetyl/localhub-cert-only-for-test

# place FILE: a copy that takes the place of what is there in one step. Passwords of the example are public, those of a
# file that takes its place may not be.
place() {
	mkdir -p "$(dirname "$2")"
	(umask 077 && cp "$1" "$2.new")
	mode=0644
	case $2 in */application.yml) mode=0600 ;; esac
	chmod "$mode" "$2.new"
	mv "$2.new" "$2"
}

same() { [ -f "$2" ] && cmp -s "$1" "$2"; }

# sign NAME SUBJECT ALTERNATIVES USAGE: a key, and a certificate of the CA for it.
sign() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$certs.new/$1.key" 2>/dev/null
	printf 'subjectAltName=%s\nextendedKeyUsage=%s\nbasicConstraints=CA:FALSE\n' "$3" "$4" >"$certs.new/extensions"
	openssl req -new -key "$certs.new/$1.key" -subj "/CN=$2" 2>/dev/null |
		openssl x509 -req -days 3650 -CA "$certs.new/ca.pem" -CAkey "$certs.new/ca.key" -CAcreateserial \
			-extfile "$certs.new/extensions" -out "$certs.new/$1.pem" 2>/dev/null
}

# certificates makes a CA, a server's and a client's, for tests. The key of the CA is forgotten, so that no further
# certificate can be made that the hub accepts.
certificates() {
	[ ! -e "$certs" ] || return 0
	rm -rf "$certs.new"
	mkdir -p "$certs.new"
	chmod 0755 "$certs.new"
	(
		umask 077
		openssl ecparam -name prime256v1 -genkey -noout -out "$certs.new/ca.key" 2>/dev/null
		openssl req -new -x509 -key "$certs.new/ca.key" -days 3650 -subj '/CN=baetyl test CA, only for test' \
			-out "$certs.new/ca.pem" 2>/dev/null
		sign server localhub "DNS:localhost,DNS:localhub,DNS:$(uname -n),IP:127.0.0.1,IP:0:0:0:0:0:0:0:1" serverAuth
		sign client two-way-tls DNS:two-way-tls clientAuth
	)
	chmod 0644 "$certs.new/ca.pem" "$certs.new/server.pem" "$certs.new/client.pem"
	rm -f "$certs.new/ca.key" "$certs.new/extensions" "$certs.new/ca.srl" "$certs.new/.srl"
	mv "$certs.new" "$certs"
}

if [ -z "$remove" ]; then
	command -v openssl >/dev/null 2>&1 || {
		echo "import.sh: openssl is missing, and makes the certificates of the example: install it" >&2
		exit 1
	}
	certificates
else
	rm -rf "$certs"
fi
(cd "$example" && find etc var -type f) | while read -r file; do
	from=$example/$file to=$prefix/$file basic=$minimal/$file
	if [ -n "$remove" ]; then
		if ! same "$from" "$to"; then
			[ ! -e "$to" ] || echo "kept $to: it was changed"
		elif [ -f "$basic" ]; then
			place "$basic" "$to"
		else
			rm -f "$to"
			rmdir "$(dirname "$to")" 2>/dev/null || true
		fi
	elif [ ! -e "$to" ] || same "$basic" "$to" || same "$from" "$to"; then
		place "$from" "$to"
	else
		echo "kept $to: it was changed; the example is $from"
	fi
done
