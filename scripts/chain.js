/**
 * The chains: what `npx nx run cluster:up` and its like go through, first to last. A line is a stage, or
 * stages that run side by side; each begins when all of the line before it have ended. The last stage gives
 * the chain its name. tools/nx/plugin.js turns this into Nx' dependsOn; each stage also runs alone.
 */

/** @typedef {Readonly<Record<string, string>>} Stages Targets that run side by side, each with what it does. */

/** How every chain begins that needs the image. @type {readonly Stages[]} */
const image = [
  {
    'cluster:preflight': 'checks this machine and the hosts for what a run cannot begin without',
    'image:build': 'registers the schematic with the Image Factory',
  },
  { 'image:download': 'downloads the image to every host' },
]

/** @type {readonly Stages[]} */
const up = [
  ...image,
  { 'vm:create': 'defines and starts the virtual machines' },
  { 'bootstrap:configure': 'gives every machine its config' },
  { 'bootstrap:start': 'bootstraps etcd, writes talosconfig and kubeconfig' },
  { 'bootstrap:health': 'waits until the cluster is healthy' },
  { 'storage:install': 'installs the NFS driver and the StorageClass' },
  { 'cluster:up': 'says how to use the cluster' },
]

/** @type {readonly Stages[]} */
const upgrade = [
  ...image,
  { 'bootstrap:upgrade-talos': 'upgrades Talos, one machine at a time' },
  { 'bootstrap:upgrade-kubernetes': 'upgrades Kubernetes, one minor at a time' },
  { 'cluster:upgrade': 'checks the upgraded cluster' },
]

/** Run ahead of an upgrade, which does the same. @type {readonly Stages[]} */
const warmInstaller = [
  ...image,
  { 'image:warm-installer': 'has the Image Factory build the installer image' },
]

/** One at a time: what is needed to look at the cluster goes after what it is needed for. @type {readonly Stages[]} */
const destroy = [
  {
    'cluster:confirm-destroy':
      'lists what would be removed, and stops unless CONFIRM names the cluster',
  },
  { 'storage:destroy': 'removes the StorageClass and the NFS driver' },
  { 'bootstrap:remove-access': 'sets talosconfig and kubeconfig aside' },
  { 'bootstrap:remove-config': 'sets secrets and machine configs aside' },
  { 'vm:destroy': 'removes the virtual machines and their disks' },
  { 'vm:remove-seeds': 'removes the seed ISOs' },
  { 'cluster:destroy': 'removes what was set aside, once nothing is left on the hosts' },
]

/** @type {readonly Stages[]} */
const restore = [
  ...image,
  { 'cluster:restore': 'recreates the control planes, with etcd from a snapshot' },
]

/** @type {readonly Stages[]} */
const regenerateSecrets = [
  ...image,
  { 'cluster:regenerate-secrets': 'recreates the cluster with new secrets' },
]

/** @type {readonly (readonly Stages[])[]} */
export const chains = [up, upgrade, warmInstaller, destroy, restore, regenerateSecrets]

/** Names that targets had before; they do the same. @type {Readonly<Record<string, string>>} */
export const aliases = {
  'bootstrap:diagnose': 'cluster:diagnose',
  'bootstrap:regenerate-secrets': 'cluster:regenerate-secrets',
  'vm:start': 'cluster:start',
  'vm:stop': 'cluster:stop',
}
