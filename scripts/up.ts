/** The last stage of cluster:up: prints how to use the cluster that the stages before it created. */
import { codes, commandFor, generatedFiles, Problem, script } from '@talosmith/core'

export default script(import.meta, {
  summary: 'Print how to use the cluster; runs last in `nx run cluster:up`.',
  async run({ cluster, answer }) {
    const files = generatedFiles(cluster)
    for (const name of ['talosconfig', 'kubeconfig'])
      if (!(await files.has(name)))
        throw new Problem(codes.notStarted, `${files.path(name)} does not exist`, {
          because: 'bootstrap:start, which writes it, has not run for this cluster',
          hint: commandFor(cluster, 'cluster:up'),
        })
    answer(
      [
        `Cluster ${cluster.name} is up: ${cluster.controlPlanes.length} control plane(s), ${cluster.workers.length} worker(s), ${cluster.endpoint}`,
        '',
        `  export KUBECONFIG=${files.path('kubeconfig')}`,
        `  export TALOSCONFIG=${files.path('talosconfig')}`,
        '  kubectl get nodes',
      ].join('\n'),
    )
  },
})
