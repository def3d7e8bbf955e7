/** The controller's pod, as the public chart's template renders it from its values. */

/** The values that the template's rule for the affinity reads. */
interface Values {
  readonly controller?: {
    readonly affinity?: object
    readonly runOnControlPlane?: boolean
    readonly runOnMaster?: boolean
  }
}

/**
 * `affinity` of the controller's pods: charts/v4.13.0/csi-driver-nfs/templates/csi-nfs-controller.yaml renders the value
 * only if its text contains `nodeSelectorTerms`; else the nodes of runOnControlPlane or runOnMaster, or none.
 */
export function renderAffinity({ controller = {} }: Values): object | undefined {
  const { affinity = {}, runOnControlPlane = false, runOnMaster = false } = controller
  if (JSON.stringify(affinity).includes('nodeSelectorTerms')) return affinity
  if (!runOnControlPlane && !runOnMaster) return undefined
  const roles = [
    ...(runOnControlPlane ? ['control-plane'] : []),
    ...(runOnMaster ? ['master'] : []),
  ]
  const matchExpressions = roles.map((role) => ({
    key: `node-role.kubernetes.io/${role}`,
    operator: 'Exists',
  }))
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchExpressions }] },
    },
  }
}
