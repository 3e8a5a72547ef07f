"""The program /agnhost in containers of that image: what it tells of the container it runs in.

Its servers are stood in for without a process (see `images`); this is what tests `kubectl exec`.
https://github.com/kubernetes/kubernetes/tree/master/test/images/agnhost
"""

SCRIPT = """\
#!/bin/sh
list() {
  awk -v word="$1" '$1 == word { for (i = 2; i <= NF; i++) s = s (s ? "," : "") $i }
                    END { print s }' /etc/resolv.conf
}
case "${1:-}" in
  dns-suffix) list search ;;
  dns-server-list) list nameserver ;;
  etc-hosts) cat /etc/hosts ;;
  *) echo "agnhost: ${1:-}: not stood in for here" >&2; exit 127 ;;
esac
"""
