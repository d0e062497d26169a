/**
 * The verbs of the command line and their options. What a verb does is in a file of its own, loaded on use.
 */

import { readFileSync } from 'node:fs';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import type { BenchOptions } from './bench.ts';
import type { CheckpointVerbOptions } from './checkpoint.ts';
import type { ConfigFlags } from './config/flags.ts';
import type { DiffVerbOptions } from './diff.ts';
import { paint } from './paint.ts';
import type { PruneVerbOptions } from './prune.ts';
import type { ReconcileOptions } from './reconcile.ts';
import type { RewindOptions } from './rewind.ts';
import type { TagVerbOptions } from './tag.ts';

export interface ProgramInit {
  /** Takes the exit code of the verb that ran. */
  readonly done: (code: number) => void;
  /** Takes what is printed of a wrong call. @default standard error, in red */
  readonly writeUsageError?: (text: string) => void;
}

type Done = ProgramInit['done'];
type Json = { readonly json: boolean };

export function buildProgram({ done, writeUsageError }: ProgramInit): Command {
  const program = new Command('tidemark')
    .description('Brings state back: a key-value database on a log that survives crashes and damaged disks.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(paint('red', text)),
      ...(writeUsageError === undefined ? {} : { writeErr: writeUsageError }),
    })
    .configureHelp({ styleTitle: (title) => paint('bold', title, process.stdout) })
    .showHelpAfterError('(tidemark --help shows the verbs and options)')
    .addHelpText(
      'after',
      '\nExamples:\n  tidemark start\n  tidemark serve --config tidemark.yaml\n  tidemark status\n' +
        '\nExit codes: 0 done, 1 wrong call, 2 try again, 3 repair, 4 restore from a copy, 5 bug.',
    );
  addStart(program, done);
  addServe(program, done);
  addConfig(program, done);
  addStatus(program, done);
  addCheckpoint(program, done);
  addTag(program, done);
  addPrune(program, done);
  addInspect(program, done);
  addRewind(program, done);
  addVerify(program, done);
  addDiff(program, done);
  addApply(program, done);
  addReconcile(program, done);
  addBench(program, done);
  addCompletion(program, done);
  return program;
}

function addStart(program: Command, done: Done): void {
  const command = program
    .command('start')
    .description('start a node with a Redis port; makes the data directory when there is none')
    .option('--dir <path>', 'data directory (default: ./data); memory: keeps everything in memory')
    .option('--host <address>', 'address to listen on (default: 127.0.0.1)')
    .option('--port <number>', 'port of the Redis protocol (default: 6401); 0 takes a free one')
    .option('--http <port>', 'port for monitors: metrics, health, status (default: none); 0 takes a free one')
    .option('--segment-bytes <size>', 'size of a log segment (default: 32MiB); two more are kept in reserve')
    .option('--durability <kind>', 'synced (default): an OK is on disk; buffered: on disk a moment later')
    .option('--password-file <path>', 'file whose first line clients must give by AUTH')
    .option('--config <file>', 'configuration, YAML or TOML');
  withSet(command)
    .option('--json', 'print one JSON line per event', false)
    .addHelpText(
      'after',
      examples('tidemark start --dir ./data --port 6401', 'redis-cli -p 6401 SET greeting hello'),
    )
    .action(async (options: ConfigFlags & Json) => {
      const { start } = await import('./start.ts');
      done(await start(options));
    });
}

function addServe(program: Command, done: Done): void {
  const command = program
    .command('serve')
    .description('run a node in production, by its configuration file; prints one JSON line per event')
    .requiredOption('--config <file>', 'configuration, YAML or TOML: see tidemark config');
  withSet(command)
    .option('--json', 'as always: one JSON line per event', true)
    .addHelpText(
      'after',
      examples(
        'tidemark serve --config tidemark.yaml',
        'tidemark serve --config tidemark.yaml --set redis.port=6500',
      ),
    )
    .action(async (options: ConfigFlags & { readonly config: string }) => {
      const { serve } = await import('./serve.ts');
      done(await serve(options));
    });
}

function addConfig(program: Command, done: Done): void {
  const config = program
    .command('config')
    .description('check a configuration, or print what one may hold')
    .addHelpText('after', examples('tidemark config check tidemark.yaml'));
  const check = config
    .command('check [file]')
    .description('find every fault, or print each key with its value and where it comes from');
  withSet(check)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples('tidemark config check tidemark.yaml', 'TIDEMARK_REDIS_PORT=6500 tidemark config check'),
    )
    .action(async (file: string | undefined, options: ConfigFlags & Json) => {
      const { checkConfig } = await import('./config-check.ts');
      const flags = file === undefined ? options : { ...options, config: file };
      done(await checkConfig(flags, options.json ? 'json' : 'text'));
    });
  config
    .command('schema')
    .description('print the JSON Schema of a configuration file, for editors')
    .option('--json', 'as always: one JSON document', true)
    .addHelpText('after', examples('tidemark config schema > tidemark.schema.json'))
    .action(async () => {
      const { printConfigSchema } = await import('./config-schema.ts');
      done(printConfigSchema());
    });
}

function addStatus(program: Command, done: Done): void {
  withAddress(
    program
      .command('status')
      .description('ask a running node how it is: keys, indices, checkpoints, refusals'),
  )
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples('tidemark status --port 6401', 'tidemark status --config tidemark.yaml --json'),
    )
    .action(async (options: ConfigFlags & Json) => {
      const { status } = await import('./status.ts');
      done(await status(options, options.json ? 'json' : 'text'));
    });
}

function addCheckpoint(program: Command, done: Done): void {
  const command = withAddress(
    program
      .command('checkpoint [dir]')
      .description('take a checkpoint: of the running node at --port, or of a stopped one in its directory')
      .option('--tag <name>', 'keep it alive under this name until that is taken off'),
  );
  withSet(command)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples(
        'tidemark checkpoint --port 6401',
        'tidemark checkpoint --tag before-deploy',
        'tidemark checkpoint ./data',
      ),
    )
    .action(async (dir: string | undefined, options: CheckpointVerbOptions) => {
      const { checkpoint } = await import('./checkpoint.ts');
      done(await checkpoint(dir ?? null, options));
    });
}

function addPrune(program: Command, done: Done): void {
  const command = withAddress(
    program
      .command('prune [dir]')
      .description(
        'remove the checkpoints that no policy and no tag keeps: of the running node, or in a directory',
      )
      .option('--dry-run', 'only tell what would go', false),
  );
  withSet(command)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples(
        'tidemark prune --dry-run --port 6401',
        'tidemark prune ./data --set checkpoint.checkpointAgeMs=0 --dry-run',
      ),
    )
    .action(async (dir: string | undefined, options: PruneVerbOptions) => {
      const { prune } = await import('./prune.ts');
      done(await prune(dir ?? null, options));
    });
}

function addTag(program: Command, done: Done): void {
  const command = withAddress(
    program
      .command('tag [name]')
      .description('keep a checkpoint alive under a name, or take that off; without a name, list them')
      .option('--index <entry>', 'of which entry the checkpoint is (default: the newest)', parseCount)
      .option('--remove', 'take the tag off', false)
      .option('--dir <path>', 'directory of a stopped node'),
  );
  withSet(command)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples(
        'tidemark tag',
        'tidemark tag before-deploy --index 812',
        'tidemark tag before-deploy --remove',
      ),
    )
    .action(async (name: string | undefined, options: TagVerbOptions) => {
      const { tag } = await import('./tag.ts');
      done(await tag(name ?? null, options));
    });
}

function addInspect(program: Command, done: Done): void {
  const inspect = program
    .command('inspect')
    .description('show what is on the disk; reads only, needs no running node')
    .addHelpText('after', examples('tidemark inspect log ./data | head'));
  inspect
    .command('log <dir>')
    .description('list the entries and segments of the log')
    .option('--first <index>', 'first entry to list', parseCount, 1)
    .option('--last <index>', 'last entry to list', parseCount, Number.MAX_SAFE_INTEGER)
    .option('--commands', 'print every command: whole, or its size where only the machine can read it', false)
    .option('--json', 'print one JSON document, a line per entry', false)
    .addHelpText('after', examples('tidemark inspect log ./data --first 100 --last 110 --commands'))
    .action(async (dir: string, options: { first: number; last: number; commands: boolean } & Json) => {
      const { inspectLog } = await import('./inspect.ts');
      done(await inspectLog(dir, options));
    });
  withSet(
    inspect
      .command('checkpoint <dir>')
      .description(
        'list the checkpoints: bytes, nodes, pauses, files, what keeps each, and how far back one can go',
      )
      .option('--config <file>', 'configuration of the node: it says which checkpoints are kept'),
  )
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples(
        'tidemark inspect checkpoint ./data',
        'tidemark inspect checkpoint ./data --config tidemark.yaml',
      ),
    )
    .action(async (dir: string, options: ConfigFlags & Json) => {
      const { inspectCheckpoint } = await import('./inspect-checkpoint.ts');
      done(await inspectCheckpoint(dir, options));
    });
  inspect
    .command('status <dir>')
    .description('show the hard state of the node and its copies')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', examples('tidemark inspect status ./data'))
    .action(async (dir: string, options: Json) => {
      const { inspectStatus } = await import('./inspect.ts');
      done(await inspectStatus(dir, options.json));
    });
}

function addRewind(program: Command, done: Done): void {
  const command = program
    .command('rewind')
    .description('make the state what it was earlier: of the running node at --port, or in a copy beside')
    .requiredOption('--to <point>', 'entry (812), command of one (812.3), time, "10m ago", tag:name')
    .option('--dry-run', 'say what would change, and from what it would be made', false)
    .option('--dir <path>', 'a data directory, which is only read')
    .option('--into <path>', 'the directory to make of it: new or empty');
  withAddress(command)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      '\nA point is meant up to and including it; "before POINT" stops right in front of it. A rewind\n' +
        'is an entry of the log: what it takes back stays there, and can be had back the same way.\n' +
        examples(
          'tidemark rewind --to "before 2026-11-21T10:00:00Z" --dry-run',
          'tidemark rewind --to 812',
          'tidemark rewind --dir ./data --to "10m ago" --into ./data-before',
        ),
    )
    .action(async (options: RewindOptions) => {
      const { rewind } = await import('./rewind.ts');
      done(await rewind(options));
    });
}

function addVerify(program: Command, done: Done): void {
  program
    .command('verify <dir>')
    .description('read everything in a data directory and check it; changes nothing')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `${examples('tidemark verify ./data')}\n\nExit code 0 when all is whole; 3 when something is damaged ` +
        'and a start still brings back everything acknowledged; 4 when it does not.',
    )
    .action(async (dir: string, options: Json) => {
      const { verify } = await import('./verify.ts');
      done(await verify(dir, options.json));
    });
}

const STATES =
  '\n\nA state is a data directory (./data: its newest; ./data@812: behind entry 812; ' +
  './data@tag:NAME,\n"./data@10m ago": points as in rewind) or a running node (localhost:6401, ' +
  'redis://:password@host:port; or\nthe password in TIDEMARK_REDIS_PASSWORD).';

function addDiff(program: Command, done: Done): void {
  program
    .command('diff <source> <target>')
    .description('tell what turns one state into another; changes nothing')
    .addOption(
      new Option('--values <how>', 'of values (default: short; with --json full)').choices([
        'none',
        'short',
        'full',
      ]),
    )
    .option('--prefix <text>', 'only keys that begin so')
    .option('--limit <number>', 'stop after so many', parseCount)
    .option('--json', 'print a delta for tidemark apply, in JSON lines', false)
    .addHelpText(
      'after',
      `${examples(
        'tidemark diff ./data ./copy',
        'tidemark diff ./data@812 ./data --json > delta.jsonl',
        'tidemark diff localhost:6401 localhost:6402 --prefix user:',
      )}${STATES}\n\nExit code 0 when they are equal, 1 when they differ, 2 and above when that is unknown.`,
    )
    .action(async (source: string, target: string, options: DiffVerbOptions) => {
      const { diff } = await import('./diff.ts');
      done(await diff(source, target, options));
    });
}

function addApply(program: Command, done: Done): void {
  program
    .command('apply <state> <delta...>')
    .description('bring a state forward by deltas of tidemark diff --json')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples('tidemark apply ./copy delta.jsonl', 'tidemark apply localhost:6402 mon.jsonl tue.jsonl') +
        STATES,
    )
    .action(async (state: string, deltas: string[], options: Json) => {
      const { apply } = await import('./apply.ts');
      done(await apply(state, deltas, options));
    });
}

function addReconcile(program: Command, done: Done): void {
  program
    .command('reconcile')
    .description('make one state equal to another; without --repair, tell what would change')
    .requiredOption('--from <state>', 'the state to copy')
    .requiredOption('--to <state>', 'the state to change')
    .option('--repair', 'change it', false)
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      `${examples(
        'tidemark reconcile --from ./data --to ./copy',
        'tidemark reconcile --from localhost:6401 --to localhost:6402 --repair',
      )}${STATES}`,
    )
    .action(async (options: ReconcileOptions) => {
      const { reconcile } = await import('./reconcile.ts');
      done(await reconcile(options));
    });
}

function addBench(program: Command, done: Done): void {
  const command = program
    .command('bench')
    .description("measure this machine's disk, then SET and GET over the Redis port of a node on that disk")
    .option('--seconds <number>', 'length of each of the measurements', parseSeconds, 4)
    .option('--clients <number>', 'connections', parseClients, 50)
    .option(
      '--pipeline <numbers>',
      'commands that a client sends at a time, one run for each',
      parseDepths,
      [1, 16],
    )
    .option('--value-bytes <number>', 'size of a value', parseValueBytes, 256)
    .option('--dir <path>', 'where to measure, in a directory made for it (default: the temporary directory)')
    .option('--host <address>', 'with --port: where the running node listens')
    .option('--port <number>', 'measure a running node instead, with keys that are removed afterwards')
    .option('--password-file <path>', 'file with the password of the running node');
  command
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', examples('tidemark bench', 'tidemark bench --seconds 2 --pipeline 1 --json'))
    .action(async (options: BenchOptions) => {
      const { bench } = await import('./bench.ts');
      done(await bench(options));
    });
}

function addCompletion(program: Command, done: Done): void {
  program
    .command('completion')
    .description('print a script that completes tidemark in your shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      examples(
        'source <(tidemark completion bash)   # in ~/.bashrc',
        'source <(tidemark completion zsh)    # in ~/.zshrc, after compinit',
        'tidemark completion fish > ~/.config/fish/completions/tidemark.fish',
      ),
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish', options: Json) => {
      const { completion } = await import('./completion.ts');
      done(completion(program, shell, options.json ? 'json' : 'text'));
    });
}

/** Where a running node is. */
function withAddress(command: Command): Command {
  return command
    .option('--host <address>', 'where the node listens (default: 127.0.0.1)')
    .option('--port <number>', 'its port of the Redis protocol (default: 6401)')
    .option('--password-file <path>', 'file with its password; or TIDEMARK_REDIS_PASSWORD')
    .option('--config <file>', 'its configuration, which says all of these');
}

function withSet(command: Command): Command {
  const collect = (value: string, earlier: readonly string[] = []): string[] => [...earlier, value];
  return command.option('--set <key=value>', 'set any key of the configuration; may be repeated', collect);
}

function examples(...lines: readonly string[]): string {
  const heading = lines.length === 1 ? 'Example' : 'Examples';
  return `\n${heading}:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError(`${text} is not a whole number`);
  return Number(text);
}

function parseWithin(text: string, min: number, max: number): number {
  const number = parseCount(text);
  if (number >= min && number <= max) return number;
  throw new InvalidArgumentError(`wanted a whole number from ${min} to ${max}`);
}

const parseSeconds = (text: string): number => parseWithin(text, 1, 3600);
const parseClients = (text: string): number => parseWithin(text, 1, 1000);
const parseValueBytes = (text: string): number => parseWithin(text, 1, 1024 ** 2);
const parseDepths = (text: string): number[] => text.split(',').map((depth) => parseWithin(depth, 1, 1000));

function packageVersion(): string {
  const url = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { version: string }).version;
}
