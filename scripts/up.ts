/** The last stage of cluster:up: prints how to use the cluster that the stages before it created. */
import { directToMachines, generatedFiles, notStarted, script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Print how to use the cluster; runs last in `nx run cluster:up`.',
  async run({ cluster, answer }) {
    const files = generatedFiles(cluster)
    for (const name of ['talosconfig', 'kubeconfig'])
      if (!(await files.has(name))) throw notStarted(cluster, `there is no ${files.path(name)}`)
    answer(
      [
        `Cluster ${cluster.name} is up: ${cluster.controlPlanes.length} control plane(s), ${cluster.workers.length} worker(s), ${cluster.endpoint}`,
        '',
        `  export KUBECONFIG=${files.path('kubeconfig')}`,
        `  export TALOSCONFIG=${files.path('talosconfig')}`,
        // Otherwise kubectl and talosctl ask the proxy for the machines.
        ...Object.entries(directToMachines(cluster)).map(
          ([name, value]) => `  export ${name}=${value}`,
        ),
        '  kubectl get nodes',
      ].join('\n'),
    )
  },
})
