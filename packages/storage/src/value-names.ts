/** Names of the chart's values. */

/**
 * As the public chart 4.13 has them (its values.yaml and docs/driver-parameters.md). `chartValues` accepts no other, so
 * that no value of ours can be one that the chart silently ignores.
 */
export const valueNames = [
  'kubeletDir',
  'controller.replicas',
  'controller.runOnControlPlane',
  'controller.runOnMaster',
  'controller.tolerations',
  'controller.nodeSelector',
  'controller.affinity',
  'controller.defaultOnDeletePolicy',
  'controller.enableSnapshotter',
  'controller.useTarCommandInSnapshot',
  'controller.enableSnapshotCompression',
  'controller.workingMountDir',
  'controller.dnsPolicy',
  'controller.logLevel',
  'controller.resources',
  'controller.livenessProbe.healthPort',
  'controller.priorityClassName',
  'controller.strategyType',
  'node.tolerations',
  'node.maxUnavailable',
  'node.livenessProbe.healthPort',
  'node.logLevel',
  'node.resources',
  'node.priorityClassName',
  'nodeDriverRegistrar.healthPort',
  'driver.name',
  'driver.mountPermissions',
  'feature.enableFSGroupPolicy',
  'feature.enableInlineVolume',
  'feature.propagateHostMountOptions',
  'externalSnapshotter.enabled',
  'externalSnapshotter.deletionPolicy',
  'externalSnapshotter.customResourceDefinitions.enabled',
  'volumeSnapshotClass.create',
  'volumeSnapshotClass.name',
  'volumeSnapshotClass.deletionPolicy',
  'storageClass.create',
  'storageClasses',
  'image.baseRepo',
  'image.nfs.repository',
  'imagePullSecrets',
  'customLabels',
] as const

/** The name of a value of the chart, its levels joined by dots. */
export type ValueName = (typeof valueNames)[number]
