import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isChanging } from '../e2e/watch-host.ts'

const reads = [
  'virsh -q -c qemu:///system list --all --autostart --name; echo 1; pool-list --all',
  '/usr/bin/virsh -q -c qemu:///system dumpxml lab-cp1',
  'stat -c %s /var/lib/libvirt/images/a.raw',
  'paste -sd,',
  'date +%s',
  'dd if=/a bs=2048 skip=16 count=1',
  'dd if=/a iflag=direct bs=4096 count=1 of=/dev/null status=none',
  'qemu-img info --output=json /a',
  'df --output=avail -B1 -- /var/lib/libvirt/images',
  'sudo -n tail -c 20000 -- /var/log/libvirt/qemu/lab-cp1-serial.log',
  'busybox arping -c 2 -w 2 -I br0 10.213.77.11',
  'timeout 2 bash -c exec 3<>/dev/tcp/10.213.77.11/50000',
  'sed -n s/^image: //p',
  'ip -o -4 neigh show',
  'ip -o route get 10.213.77.11',
  'iptables -S FORWARD',
  'find /var/lib/libvirt -type f -printf %p',
  // Shells run their commands as processes of their own.
  'bash --noprofile --norc -c rm -f -- /a',
]
const ownLock = [
  'mkdir -- /tmp/talosmith-locks',
  'flock -w 10 9',
  'touch -- 3f0c5b1e-9f0a-4f5e-8a55-0d9f6a3c1b2d.tmp',
  'ln -T -- 3f0c5b1e-9f0a-4f5e-8a55-0d9f6a3c1b2d.tmp lab.lock',
  'touch -c -- /tmp/talosmith-locks/lab.lock',
  'rm -f -- /tmp/talosmith-locks/lab.lock',
  'rmdir -- /tmp/talosmith-locks',
]
const backgroundOfTheHost = [
  '/usr/sbin/sshd -D -e -R',
  'sshd: root@notty',
  '/usr/sbin/libvirtd',
  '/usr/bin/qemu-system-x86_64 -S -no-user-config -nodefaults',
  '/usr/bin/ganesha.nfsd -F',
]
const changes = [
  'virsh -q -c qemu:///system domstats --state; autostart lab-cp1',
  'virsh -q -c qemu:///system destroy lab-cp1',
  'virsh undefine lab-cp1 --nvram',
  'rm -f -- /tmp/talosmith-locks/../a.lock',
  'rm -f -- lab-cp1.qcow2',
  'date -s 12:00',
  'dd if=/a of=/b',
  'qemu-img create -f qcow2 /a',
  'rm -f -- /a',
  'sudo -n rm -f -- /a',
  'timeout 5 tee /a',
  'busybox rm /a',
  'sed -i s/a/b/ /a',
  'sed -e s/a/b/ -i /a',
  'find / -name a -delete',
  'find / -name a -exec rm {} +',
  'ip link set br0 down',
  'ip neigh flush all',
  'iptables -A FORWARD -j DROP',
  'an-unknown-program --list',
  'python3 -c print(1)',
]
for (const command of reads)
  test(`${command} only reads`, () => {
    assert.not(isChanging(command))
  })
for (const command of ownLock)
  test(`${command} belongs to the lock of the run`, () => {
    assert.not(isChanging(command))
  })
for (const command of backgroundOfTheHost)
  test(`${command} is the host's own`, () => {
    assert.not(isChanging(command))
  })
for (const command of changes)
  test(`${command} may change something`, () => {
    assert.ok(isChanging(command))
  })

test.run()
