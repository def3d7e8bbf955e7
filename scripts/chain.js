/**
 * The chains: the stages that `npx nx run cluster:up` and similar targets run, first to last. A line is a stage, or
 * stages that run in parallel; it starts when all stages of the line before have ended. A chain is named after its
 * last stage. tools/nx/plugin.js turns this into Nx' dependsOn; each stage can also be run alone.
 */

/** @typedef {Readonly<Record<string, string>>} Stages Targets that run in parallel, each with what it does. */

/** The start of every chain that needs the image. @type {readonly Stages[]} */
const image = [
  {
    'cluster:preflight': 'checks this machine and the hosts for what a run cannot start without',
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
  { 'cluster:up': 'prints how to use the cluster' },
]

/** @type {readonly Stages[]} */
const upgrade = [
  ...image,
  { 'cluster:upgrade-talos': 'upgrades Talos, one machine at a time' },
  { 'bootstrap:upgrade-kubernetes': 'upgrades Kubernetes, one minor at a time' },
  { 'cluster:upgrade': 'checks the upgraded cluster' },
]

/** Can be run before an upgrade, which otherwise does the same itself. @type {readonly Stages[]} */
const warmInstaller = [
  ...image,
  { 'image:warm-installer': 'has the Image Factory build the installer image' },
]

/** One at a time: access to the cluster is removed after the stages that need it. @type {readonly Stages[]} */
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
  { 'cluster:destroy': 'deletes the files set aside, once nothing is left on the hosts' },
]

/** @type {readonly Stages[]} */
const restore = [
  ...image,
  { 'cluster:restore': 'recreates the control planes, with etcd from a backup' },
]

/** @type {readonly Stages[]} */
const regenerateSecrets = [
  ...image,
  { 'cluster:regenerate-secrets': 'recreates the cluster with new secrets' },
]

/** @type {readonly (readonly Stages[])[]} */
export const chains = [up, upgrade, warmInstaller, destroy, restore, regenerateSecrets]

/** Former names of targets; they do the same. @type {Readonly<Record<string, string>>} */
export const aliases = {
  'bootstrap:diagnose': 'cluster:diagnose',
  'bootstrap:regenerate-secrets': 'cluster:regenerate-secrets',
  'bootstrap:upgrade-talos': 'cluster:upgrade-talos',
  'vm:start': 'cluster:start',
  'vm:stop': 'cluster:stop',
}
