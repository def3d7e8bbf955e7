/** The Talos image on the hosts: observe, plan, download, verify and prune. */
export { applyImageChange, type ImageApplyContext } from './apply.ts'
export { isRelayed, neededTools, observeImage, type ObservedImage } from './observe.ts'
export { planBuild, planDownload, type ImageChange } from './plan.ts'
export { applyPrune, describeKept, planPrune, renderImages, type PruneChange } from './prune.ts'
export { observeImages, type StoredImage, type StoredImages } from './stored.ts'
