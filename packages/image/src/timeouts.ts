/** How long a transfer waits, and how often it is resumed. */

/** Timeouts of a transfer, in seconds. */
export interface TransferTimeouts {
  /** Until the first byte: the factory builds an image when it is first requested. */
  readonly firstByte: number
  /** Until any further byte. */
  readonly idle: number
  /** Before a broken transfer is resumed; multiplied by the number of attempts without progress. */
  readonly retryDelay: number
}

/** The default timeouts of a transfer. */
export const defaultTimeouts: TransferTimeouts = { firstByte: 1200, idle: 60, retryDelay: 1 }
/** How often in a row a transfer may fail without a new byte. */
export const attemptLimit = 5
