/** image:list: the images in each host's pool, and what uses them. */
import { clusterOn, script } from '@talosmith/core'
import { observeImages, renderImages } from '../src/index.ts'

export default script(import.meta, {
  summary: "List the images in each host's pool, and what uses them.",
  async run({ cluster, hosts, json, answer }) {
    const opened = await hosts()
    const observed = await Promise.all(
      opened.map((host, index) => observeImages(host, clusterOn(cluster, index))),
    )
    answer(json ? observed : renderImages(observed))
  },
})
