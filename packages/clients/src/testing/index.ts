/** Fakes of Talos and Kubernetes for tests. */
export { fakeTalosctl, hasTalosctl, resource, versions, type Reply } from './fake-talosctl.ts'
export { renderKubeconfig } from './kubeconfig.ts'
export { createCa, type Ca, type Pair } from './pki.ts'
export { showMachine, type Shown } from './talos-api.ts'
