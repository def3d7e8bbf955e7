/** The answer to a question that may fail without ending the run. */
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false
      readonly reason: string
      /** Waiting does not help. */
      readonly final?: boolean
      /** The HTTP status with which the API refused. */
      readonly status?: number
      /** Why there was no connection at all: 'timeout', 'ECONNREFUSED'. */
      readonly unreachable?: string
    }
