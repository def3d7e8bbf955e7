/** Turns a file into a program with typed options that works on one cluster. */
import { mkdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { reportFailure } from './failure-report.ts'
import { renderPlan, type Change } from './change.ts'
import type { Cluster } from './cluster.ts'
import { checkConfirm } from './confirm.ts'
import { generatedFiles } from './generated.ts'
import { connectionsOf, type Connections } from './host/connections.ts'
import { newHostLock } from './host/host-lock.ts'
import type { Host } from './host/host.ts'
import { withLock } from './lock.ts'
import { checkBeforeSteps, createLog, type Log } from './log.ts'
import { readOptions, usageOf, type Options, type OptionValues } from './options.ts'
import { exitCodes, Problem, reasonOf, type ExitCode } from './problem.ts'
import { helpOption, isProgram, reportError } from './program.ts'
import { projectRoot } from './root.ts'
import { loadCluster } from './settings/find.ts'
import { stopOnSignals, stopping, untilStopped } from './stop.ts'

/** What the `run` function of a script gets. */
export interface ScriptContext<O extends Options> {
  readonly cluster: Cluster
  /** The KVM hosts in LIBVIRT_URI's order; connected at the first call, closed at the end. */
  readonly hosts: () => Promise<readonly Host[]>
  /** The same as one promise per host, so that an unreachable host does not affect the others. */
  readonly eachHost: () => readonly Promise<Host>[]
  readonly log: Log
  readonly options: OptionValues<O>
  readonly dryRun: boolean
  readonly json: boolean
  /** Whether CONFIRM is the cluster's name: data may be deleted permanently. */
  readonly confirmed: boolean
  /** Throws CONFIRM_MISSING, which lists `changes`, unless CONFIRM is the cluster's name. */
  readonly confirm: (changes: readonly Change[]) => void
  /** Prints the result on stdout: text as it is, anything else as JSON. */
  readonly answer: (value: unknown) => void
  /** Prints a plan (or its JSON) on stdout; returns the exit code: 0 for an empty plan, else 2. */
  readonly showPlan: (changes: readonly Change[]) => ExitCode
  /** Aborts on SIGINT and SIGTERM; host commands and waits end without it. */
  readonly signal: AbortSignal
}

interface ScriptDefinition<O extends Options> {
  readonly summary: string
  /** Whether it changes anything: it then has --dry-run, takes the cluster's lock and is recorded. */
  readonly changes?: boolean
  /** Whether it only waits for machines: it is then recorded too. */
  readonly waits?: boolean
  /** Whether its changes are to files of this machine only: the cluster is then not locked on its hosts. */
  readonly onlyHere?: boolean
  /** Exits as soon as `run` returns, without waiting for commands that it gave up on. */
  readonly endsAtOnce?: boolean
  /** Whether it can delete data permanently: it then has --confirm. */
  readonly losesData?: boolean
  readonly options?: O
  readonly run: (context: ScriptContext<O>) => Promise<ExitCode | void>
}

/** Set by tools/nx/infer-targets.js for the stages of a chain that run after its first one. */
const laterStage = 'TALOSMITH_LATER_STAGE'

const standardOptions = {
  cluster: { type: 'string', about: 'reads env/<name>.env (or CLUSTER)', env: 'CLUSTER' },
  json: { type: 'boolean', about: 'print the result as JSON' },
  ...helpOption,
} as const satisfies Options

const dryRunOption = {
  'dry-run': { type: 'boolean', about: 'print what would change and stop' },
} as const satisfies Options

const confirmOption = {
  confirm: {
    type: 'string',
    about: 'the name of the cluster, to confirm that data may be deleted (or CONFIRM)',
    env: 'CONFIRM',
  },
} as const satisfies Options

/**
 * Turns a file into a program with typed options. It runs only when the file is the main module, prints
 * a Problem without a stack and any other error with one, and sets the exit code.
 */
export function script<const O extends Options>(
  meta: Pick<ImportMeta, 'url'>,
  definition: ScriptDefinition<O>,
): ScriptDefinition<O> {
  void isProgram(meta.url).then((yes) => (yes ? runAsProgram(definition) : undefined))
  return definition
}

async function runAsProgram<O extends Options>(definition: ScriptDefinition<O>): Promise<void> {
  let record: string | undefined
  const { log, hasActed, hasBegun } = trackingLog(createLog({ record: () => record }))
  let onFailure: (() => Promise<void>) | undefined
  stopOnSignals(
    (why) => log.warn(`stopped ${why}; run the same command again to continue`),
    () => process.exit(exitCodes.failed),
  )
  let connections: Connections | undefined
  try {
    const options = optionsOf(definition)
    const given = readOptions(options, process.argv.slice(2), process.env)
    if (given.help === true) return console.log(usageOf(definition.summary, options))
    const dryRun = given['dry-run'] === true
    const { cluster, warnings, fromShell } = await loadCluster(
      projectRoot,
      given.cluster,
      process.env,
    )
    const { confirm } = given
    if (!dryRun && cluster.settings.FAILURE_BUNDLE) onFailure = () => reportFailure(cluster, log)
    // Once in a run: the first stage of a chain prints it for the later ones.
    if (process.env[laterStage] !== 'true') {
      const from = (overrides: boolean): string =>
        fromShell
          .filter((one) => one.overrides === overrides)
          .map(({ text }) => text)
          .join(', ')
      const [instead, added] = [from(true), from(false)]
      if (instead !== '')
        log.info(`${instead} from the environment, instead of env/${cluster.file}.env`)
      if (added !== '') log.info(`${added} from the environment, not in env/${cluster.file}.env`)
    }
    for (const warning of warnings) log.warn(warning)
    const isChange = definition.changes === true && !dryRun
    const { each: eachHost } = (connections = connectionsOf(
      cluster,
      isChange ? newHostLock(cluster.name, programName(), log.warn) : undefined,
    ))
    const context: ScriptContext<O> = {
      cluster,
      log,
      dryRun,
      json: given.json === true,
      confirmed: confirm === cluster.name,
      confirm: (changes) => checkConfirm(cluster, confirm, changes),
      options: given as unknown as OptionValues<O>,
      signal: stopping,
      hosts: () => Promise.all(eachHost()),
      eachHost,
      answer: (value) =>
        console.log(typeof value === 'string' ? value : JSON.stringify(value, null, 2)),
      showPlan(changes) {
        console.log(given.json === true ? JSON.stringify(changes, null, 2) : renderPlan(changes))
        return changes.length === 0 ? exitCodes.done : exitCodes.planHasChanges
      },
    }
    if (isChange)
      process.exitCode = await withLock(cluster, programName(), async () => {
        record = await openRecord(cluster, log)
        if (definition.onlyHere !== true) lockBeforeSteps(eachHost(), log)
        return (await definition.run(context)) ?? exitCodes.done
      })
    else {
      if (definition.waits === true) record = await openRecord(cluster, log)
      process.exitCode = (await definition.run(context)) ?? exitCodes.done
    }
  } catch (error) {
    if (!stopping.aborted) {
      process.exitCode = reportError(error, log, stateNow(definition.changes === true, hasBegun()))
      if (hasActed()) await onFailure?.()
    }
  } finally {
    // A report does not wait for connections to close.
    if (definition.endsAtOnce !== true || stopping.aborted) await connections?.close()
    if (stopping.aborted) process.exit(exitCodes.failed)
    await flushed(process.stdout)
    // Work that the run gave up on may keep the process alive: a host that has not answered yet, a command.
    process.exit()
  }
}

/**
 * Connects to the hosts while the run observes, and lets no step begin before the cluster is locked on them. A run that
 * does not need a host goes on without its lock if it can't be reached.
 */
function lockBeforeSteps(hosts: readonly Promise<Host>[], log: Log): void {
  const locking = Promise.allSettled(hosts)
  let warned = false
  checkBeforeSteps(async () => {
    const failures = (await untilStopped(locking)).flatMap((host): Error[] =>
      host.status === 'rejected' ? [host.reason as Error] : [],
    )
    const locked = failures.find((error) => error instanceof Problem && error.code === 'LOCKED')
    if (locked !== undefined) throw locked
    if (!warned)
      for (const error of failures)
        log.warn(`could not lock the cluster on a host: ${reasonOf(error)}`)
    warned = true
  })
}

/** Waits until everything written to a stream has left the process. */
async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableLength > 0) await new Promise((resolve) => stream.write('', resolve))
}

/** What a failed run has changed, for a Problem that does not tell: every change of a cluster is a step. */
function stateNow(changes: boolean, hasBegun: boolean): string {
  if (!changes) return 'the cluster was not changed'
  if (hasBegun)
    return 'the steps above with ✓ are done, the last one without may be half done; the next run begins with what is missing'
  return process.env[laterStage] === 'true'
    ? 'this stage changed nothing; the stages before it are done'
    : 'nothing was changed'
}

/** A log that tracks whether a step or a wait has begun: only then is a failure diagnosed. */
function trackingLog(log: Log): {
  readonly log: Log
  readonly hasActed: () => boolean
  /** Whether a step has begun. */
  readonly hasBegun: () => boolean
} {
  let acted = false
  let begun = false
  return {
    hasActed: () => acted,
    hasBegun: () => begun,
    log: {
      ...log,
      step: (text) => ((acted = begun = true), log.step(text)),
      waiting: (fact, reason) => ((acted = true), log.waiting(fact, reason)),
    },
  }
}

/** The path of a new run record; undefined, with a warning, when it can't be written. */
async function openRecord(cluster: Cluster, log: Log): Promise<string | undefined> {
  const folder = join(cluster.generated, 'runs')
  try {
    // Refuses symbolic links in the path.
    await generatedFiles(cluster).has('runs')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const time = new Date().toISOString().replaceAll(':', '-')
    return join(folder, `${time}-${process.pid}.jsonl`)
  } catch (error) {
    log.warn(`this run is not recorded: ${reasonOf(error)}`)
    return undefined
  }
}

/** The source file of this program, also when it runs compiled. */
function programName(): string {
  const started = relative(projectRoot, process.argv[1] ?? 'unknown')
  return started.replace(/^dist\/programs\/[^/]+\/(.*)\.js$/, '$1.ts')
}

type OwnOptions = typeof standardOptions & typeof dryRunOption & typeof confirmOption

/** The options that a script accepts; the values of those of `OwnOptions` that it does not accept are undefined. */
function optionsOf<O extends Options>({
  changes,
  losesData,
  options,
}: ScriptDefinition<O>): OwnOptions {
  return {
    ...standardOptions,
    ...(changes === true ? dryRunOption : {}),
    ...(losesData === true ? confirmOption : {}),
    ...options,
  } as OwnOptions
}
