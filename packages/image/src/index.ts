export { applyChange } from './apply.ts'
export { checkOffer, observeFactory, type Offer } from './factory.ts'
export { observeImage, type ObservedImage } from './observe.ts'
export { planBuild, planDownload, type ImageChange } from './plan.ts'
