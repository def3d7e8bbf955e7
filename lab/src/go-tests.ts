/** Counts the results of `go test -json` and formats failures. */

/** One line of `go test -json`; https://pkg.go.dev/cmd/test2json documents the fields. */
interface GoEvent {
  readonly Action: string
  readonly Package?: string
  readonly Test?: string
  readonly Output?: string
  readonly Elapsed?: number
}

/** Counts what `go test -json` reports, subtests as a part of their test. */
export class GoTests {
  readonly #counts = { pass: 0, fail: 0, skip: 0 }
  readonly #output = new Map<string, string>()
  readonly #failedPackages = new Set<string>()

  /** Processes a line; returns what to print: a package's result, or a failed test's output. */
  take(line: string): string | undefined {
    const event = parse(line)
    // Compiler output is printed unchanged.
    if (event === undefined) return line
    const {
      Action: action,
      Package: name = '',
      Test: test,
      Output: output,
      Elapsed: elapsed,
    } = event
    if (action === 'build-output') return output?.trimEnd()
    const key = `${name} ${test?.split('/')[0] ?? ''}`
    if (action === 'output') this.#output.set(key, (this.#output.get(key) ?? '') + (output ?? ''))
    if (action !== 'pass' && action !== 'fail' && action !== 'skip') return undefined
    if (test === undefined) return this.#endPackage(name, key, action, elapsed ?? 0)
    if (test.includes('/')) return undefined
    this.#counts[action] += 1
    if (action === 'fail') this.#failedPackages.add(name)
    return action === 'fail' ? `FAILED  ${key}\n${this.#output.get(key) ?? ''}` : undefined
  }

  /** The totals; a non-zero exit code although every test passed counts as one failure. */
  count(exitCode: number): { passed: number; failed: number; skipped: number } {
    const { pass, fail, skip } = this.#counts
    return { passed: pass, failed: exitCode === 0 ? fail : Math.max(fail, 1), skipped: skip }
  }

  /** A package fails without a test when it does not compile, or its process ends early. */
  #endPackage(name: string, key: string, action: string, seconds: number): string | undefined {
    if (action === 'skip') return undefined
    if (action === 'pass') return `ok  ${name} (${seconds.toFixed(1)} s)`
    if (this.#failedPackages.has(name)) return undefined
    this.#counts.fail += 1
    return `FAILED  ${name}\n${this.#output.get(key) ?? ''}`
  }
}

function parse(line: string): GoEvent | undefined {
  try {
    const event: unknown = JSON.parse(line)
    return typeof event === 'object' && event !== null && 'Action' in event
      ? (event as GoEvent)
      : undefined
  } catch {
    return undefined
  }
}
