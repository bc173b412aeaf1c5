#!/usr/bin/env bash
# A run from and to a real S3 server: Ceph's object gateway, with one monitor and one store in memory, on loopback.
#
#   apt-get install --no-install-recommends ceph-mon ceph-osd ceph-common radosgw     (Debian 12 has 16.2.15)
#   PYTHON=.venv/bin/python tests/interop/rgw.sh                                      (with wordmask[cpu,ray])
#
# As root. Everything stands in a temporary folder and is removed; the daemons end with the script. Two to five minutes.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d)
daemons=()
trap 'kill "${daemons[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
mon_port=16790 port=17490 cluster=$(</proc/sys/kernel/random/uuid) store=$(</proc/sys/kernel/random/uuid)

cat >"$work/ceph.conf" <<EOF
[global]
fsid = $cluster
mon_host = 127.0.0.1:$mon_port
public_addr = 127.0.0.1
keyring = $work/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
run_dir = $work
admin_socket = $work/\$name.asok
pid_file = $work/\$name.pid
log_file = $work/\$name.log
crash_dir = $work
[mon]
mon_data = $work/mon
[osd]
osd_data = $work/osd
osd_objectstore = memstore
memstore_device_bytes = 1073741824
osd_class_load_list = *
osd_class_default_list = *
EOF
export CEPH_CONF=$work/ceph.conf

daemon() {
  "$@" &>>"$work/output" &
  daemons+=($!)
}

until_true() { # seconds, command
  for _ in $(seq "$1"); do "${@:2}" &>/dev/null && return; sleep 1; done
  echo "gave up on: ${*:2}" >&2
  cat "$work/output" >&2
  exit 1
}

start() {
  local all=(--cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *')
  ceph-authtool --create-keyring "$work/keyring" --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool "$work/keyring" --gen-key -n client.admin "${all[@]}"
  ceph-authtool "$work/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --add a 127.0.0.1:$mon_port --fsid "$cluster" "$work/monmap"
  mkdir "$work/mon" "$work/osd"
  ceph-mon -i a --mkfs --monmap "$work/monmap" --keyring "$work/keyring"
  daemon ceph-mon -i a -f
  until_true 30 timeout 5 ceph -s
  timeout 20 ceph osd new "$store"
  timeout 20 ceph osd crush add osd.0 1 root=default host=here
  ceph-osd -i 0 --mkfs --osd-uuid "$store"
  daemon ceph-osd -i 0 -f
  until_true 60 sh -c 'timeout 5 ceph osd stat | grep -q "1 up"'
  timeout 60 radosgw-admin user create --uid=test --display-name=test --access-key=KEY --secret-key=SECRET
  daemon radosgw -n client.admin -f --rgw-frontends="beast endpoint=127.0.0.1:$port"
  until_true 60 curl -sf http://127.0.0.1:$port
}
start &>>"$work/output" || { cat "$work/output" >&2; exit 1; }
radosgw --version

export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=KEY AWS_SECRET_ACCESS_KEY=SECRET
export AWS_DEFAULT_REGION=us-east-1 WORDMASK_CACHE=$work/cache PYTHONPATH=$root/runtime${PYTHONPATH:+:$PYTHONPATH}
cd "$work"
"$python" "$root/tests/interop/servers/rgw_flow.py" "$work" && echo "all as expected"
