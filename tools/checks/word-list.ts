/** Words that this project does not use, each with what to write instead, and the uses of them that are right. */

/** How a word is recognized, in names and in prose. */
export interface UnwantedWord {
  /** What it is counted as. */
  readonly word: string
  readonly instead: string
  /** In names, written in kebab case: `lastWords`, `LastWords`, `LAST_WORDS` and `last-words.ts` are `last-words`. */
  readonly names?: RegExp
  /** In comments, strings and documents. */
  readonly prose?: RegExp
  /** Phrases, and names in kebab case, in which it is right. */
  readonly except?: readonly RegExp[]
  /** Files in which it is looked for; everywhere by default. */
  readonly only?: RegExp
  /** Files in which its names are right: they mean what the word means in the field. */
  readonly rightIn?: RegExp
}

const name = (words: string): RegExp => new RegExp(`(?<![a-z0-9])(?:${words})(?![a-z0-9])`, 'g')
/** Words may be parted by a line end. */
const prose = (words: string): RegExp =>
  new RegExp(`\\b(?:${words.replaceAll(' ', '\\s+')})\\b`, 'gi')

export const unwantedWords: readonly UnwantedWord[] = [
  {
    word: 'asked',
    instead: 'desired, configured, "matches the settings"',
    names: name('asked'),
    prose: prose(
      "asked for|(?:settings?|env file|they|[A-Z]+_[A-Z_]+) (?:(?:no longer|do(?:es)? not|don't|doesn't|now) )?ask(?:s|ed)?",
    ),
  },
  {
    word: 'seen',
    instead: 'observed',
    names: name('seen'),
    prose: prose('seen'),
    except: [/as seen (?:by|from)/gi, /first-?seen|last-?seen/gi],
  },
  {
    word: 'said',
    instead: 'reports, prints, output',
    names: name('said|says'),
    prose: prose('said|says'),
    except: [/who says/gi, /["']says["']/g],
    // The key of cluster:doctor's documented JSON.
    rightIn: /^scripts\/doctor\/check\.ts$/,
  },
  {
    word: 'home',
    instead: 'generated files',
    names: name('home'),
    prose: prose(
      'at home|(?:the|its|our) home(?! (?:lab|network|cluster|folder of))|home folders?',
    ),
    except: [
      /(?:xdg-)?(?:cache|config|data)-home/g,
      /home-dir(?:ectory)?/g,
      /home[- ](?:cp|w)\d+/g,
    ],
    // The user's home folder: for OpenSSH's files, and as HOME for programs that tests start.
    rightIn:
      /^packages\/core\/(?:src|test)\/(?:host|ssh|testing\/sshd)\b|^tools\/test\/|^packages\/clients\/test\/talos\/talosctl\.test\.ts$/,
  },
  {
    word: 'gates',
    instead: 'endpoints',
    names: name('gates'),
    prose: prose('gates'),
    except: [/(?:feature|safety)[- ]gates/gi],
  },
  {
    word: 'via',
    instead: 'endpoints',
    names: name('via'),
    rightIn: /^lab\/tools\/node\/nocloud\//,
  },
  {
    word: 'mark',
    instead: 'marker, annotation, label: whichever it is',
    names: name('marks?|marked'),
    prose: prose('(?:our|the|an?|its|their|this|that|no|own|bears?|bore) marks?'),
    except: [
      /(?:question|quotation|byte order) marks?/gi,
      /high-water-mark/g,
      /mark-for-deletion/g,
    ],
  },
  { word: 'mend', instead: 'fix', names: name('mend(?:s|ed)?'), prose: prose('mend(?:s|ed|ing)?') },
  { word: 'anew', instead: 'recreate, again', names: name('anew'), prose: prose('anew') },
  {
    word: 'goes back',
    instead: 'rolls back, rolled back; returns',
    names: name('(?:go|goes|went|going|gone)-back'),
    prose: prose('(?:go|goes|went|going|gone) back'),
  },
  {
    word: 'way out',
    instead: 'internet access, default gateway',
    names: name('ways?-out'),
    prose: prose('ways? out'),
  },
  {
    word: 'fault',
    instead: 'bug (of ours), problem (in general)',
    names: name('faults?|faulty'),
    prose: prose('faults?|faulty'),
    except: [
      /(?:page|segmentation|protection|bus|hardware|memory|minor|major)[- ]faults?/gi,
      /fault[- ](?:toleran(?:ce|t)|injection|domains?|handler)/gi,
      /\/lab\/faults/g,
      /injected faults?/gi,
      // A key of cluster:status --json, which keeps its name.
      /access\[\]\.fault/g,
      /\bfaults\.(?:json|ts)/g,
    ],
    // The lab's factory injects faults; `fault` is a key of cluster:status' documented JSON.
    rightIn: /^lab\/|^scripts\/status\/(?:report|describe|table)\.ts$/,
  },
  {
    word: 'nobody',
    instead: 'no machine, another process, ...: name it',
    names: name('(?:no|some|any|every)body|whoever'),
    prose: prose('(?:no|some|any|every)body|whoever'),
    // The user to whom an NFS server maps root.
    except: [
      /nobody:no(?:group|body)/gi,
      /(?:user|as|to|owner|by) ["'`]?nobody\b/gi,
      /["'`]nobody["'`]/g,
    ],
  },
  {
    word: 'cannot come true',
    instead: 'gave up waiting, timed out, unrecoverable',
    names: name('hopeless|in-vain'),
    prose: prose('(?:come|comes|came|coming) true|in vain|hopeless(?:ly)?'),
  },
  {
    word: 'comeback',
    instead: 'reboot, reboot timeout',
    names: name('comebacks?'),
    prose: prose('comebacks?'),
  },
  {
    word: 'last words',
    instead: 'console tail',
    names: name('last-words?'),
    prose: prose('last[\\s-]words'),
  },
  { word: 'patience', instead: 'timeout', names: name('patience'), prose: prose('patience') },
  {
    word: 'take away',
    instead: 'remove; for good: delete permanently',
    names: name('(?:take|takes|taken|taking|took)-away|for-good'),
    prose: prose("(?:take|takes|taken|taking|took) (?:[\\w'-]+ ){0,4}away|for good"),
    except: [/for good (?:reasons?|measure)/gi],
  },
  {
    word: 'stray',
    instead: 'orphan',
    names: name('strays?|straying'),
    prose: prose('strays?'),
  },
  {
    word: 'snapshot',
    instead: 'HealthFacts (of health), backup (of etcd)',
    names: name('snapshots?'),
    prose: prose('(?:health|cluster|state) snapshots?'),
    except: [
      /final-snapshot/g,
      /etcd-snapshots?/g,
      /volume-snapshots?(?:-[a-z-]+)?/g,
      /snapshot-(?:list|class(?:es)?|controller|db)/g,
    ],
    only: /^(?:packages|scripts)\//,
    // Snapshots of etcd, and the option --snapshot of cluster:restore.
    rightIn:
      /^(?:(?:packages\/bootstrap\/)?scripts\/(?:test\/)?restore(?:\.test)?\.ts$|packages\/bootstrap\/(?:src|test)\/backup\/)/,
  },
  {
    word: 'missing',
    instead: 'fail, failed (of a check)',
    names: /^missing$/g,
    prose: /(["'`])missing\1/g,
    only: /^scripts\/doctor\//,
  },
]
