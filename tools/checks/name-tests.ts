/**
 * Loaded before a test file: writes the name of every test that begins to descriptor 3, one a line. uvu
 * prints a dot when a test has passed, and the names of failed tests only; it stores the name of the running
 * test as `__test__` of its suite's state, which can be any object.
 */
import { writeSync } from 'node:fs'

const values = new WeakMap<object, unknown>()
// oxlint-disable-next-line no-extend-native -- in a test's process, gone with it; see above
Object.defineProperty(Object.prototype, '__test__', {
  get(this: object) {
    return values.get(this)
  },
  set(this: object, name: unknown) {
    values.set(this, name)
    // uvu empties it at the start and the end of a suite.
    if (typeof name !== 'string' || name === '') return
    try {
      writeSync(3, `${name.replaceAll('\n', ' ')}\n`)
    } catch {
      // The pipe is closed, or full: only the message about a timeout lacks a name.
    }
  },
})
