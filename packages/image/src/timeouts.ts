/** How long a transfer waits, and how often it is resumed. */

/** Timeouts of a transfer, in seconds. */
export interface TransferTimeouts {
  /** Until the first byte: the factory builds an image when it is first requested. */
  readonly firstByte: number
  /** Until any further byte. */
  readonly idle: number
  /** Before a broken transfer is resumed; longer each time that no byte came. */
  readonly retryDelay: number
}

/** The timeouts of a transfer that says nothing else. */
export const defaultTimeouts: TransferTimeouts = { firstByte: 1200, idle: 60, retryDelay: 1 }
/** How often in a row a transfer may break off without a new byte. */
export const attemptLimit = 5
