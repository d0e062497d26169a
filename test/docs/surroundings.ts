/**
 * What the blocks of all documents run in: the package as users get it, a registry that has what the lock
 * file names, and a path on which `tidemark` and `redis-cli` are the real ones. Made once, all of it in one
 * scratch directory; nothing of the user is read or changed, and no network is needed.
 */

import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../support/project.ts';
import { Registry } from './registry.ts';

/** What a checkout has that is not its own. */
const NOT_COPIED = /^(\.git|node_modules|data|d)$/;

export class Surroundings {
  readonly scratch: string;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  readonly #registry: Registry;
  #places = 0;

  static async make(): Promise<Surroundings> {
    const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-docs-')));
    const registry = await Registry.start();
    return new Surroundings(scratch, registry);
  }

  private constructor(scratch: string, registry: Registry) {
    this.scratch = scratch;
    this.#registry = registry;
    this.env = environment(scratch, registry.url);
    mkdirSync(join(scratch, 'bin'));
    unpackPackage(scratch, this.env);
    putOnPath(scratch);
  }

  /** A directory with a package.json, in which the package is installed. */
  makeProject(): string {
    const dir = join(this.scratch, String(++this.#places));
    const modules = join(dir, 'node_modules');
    mkdirSync(join(modules, '.bin'), { recursive: true });
    writeFileSync(join(dir, 'package.json'), '{ "name": "project", "type": "module", "private": true }\n');
    symlinkSync(join(this.scratch, 'package'), join(modules, 'tidemark'));
    symlinkSync('../tidemark/bin/tidemark.mjs', join(modules, '.bin/tidemark'));
    symlinkSync(join(ROOT, 'node_modules/@types'), join(modules, '@types'));
    return dir;
  }

  /** A directory with a copy of the checkout in `tidemark`, set up; returns the path of that. */
  makeCheckout(): string {
    const dir = join(this.scratch, String(++this.#places), 'tidemark');
    mkdirSync(dir, { recursive: true });
    for (const name of readdirSync(ROOT).filter((entry) => !NOT_COPIED.test(entry))) {
      cpSync(join(ROOT, name), join(dir, name), { recursive: true, preserveTimestamps: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(dir, 'node_modules'));
    return dir;
  }

  async remove(): Promise<void> {
    await this.#registry.stop();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

/** Without what an npm around us says, and what would make a user's machine differ from another one's. */
function environment(scratch: string, registry: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|TIDEMARK_|NODE_|FORCE_COLOR$|REDISCLI_)/i.test(name),
  );
  return {
    ...Object.fromEntries(own),
    HOME: scratch,
    PATH: [join(scratch, 'bin'), process.env['PATH']].join(delimiter),
    NO_COLOR: '1',
    npm_config_registry: registry,
    npm_config_cache: join(scratch, 'npm-cache'),
    npm_config_userconfig: join(scratch, 'npmrc'),
    npm_config_update_notifier: 'false',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  };
}

/** The package as it would be published, with the dependencies that are installed here. */
function unpackPackage(scratch: string, env: NodeJS.ProcessEnv): void {
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', scratch];
  const name = execFileSync('npm', args, { cwd: ROOT, env, encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', join(scratch, name), '-C', scratch]);
  symlinkSync(join(ROOT, 'node_modules'), join(scratch, 'package/node_modules'));
}

function putOnPath(scratch: string): void {
  const put = (name: string, script: string): void =>
    writeFileSync(join(scratch, 'bin', name), `#!/usr/bin/env bash\n${script}\n`, { mode: 0o755 });
  put('tidemark', `exec node '${join(scratch, 'package/bin/tidemark.mjs')}' "$@"`);
  put('node', `exec '${process.execPath}' "$@"`);
  // As on a terminal, unless its output goes on to another program.
  put('redis-cli', `[ -p /dev/stdout ] || set -- --no-raw "$@"\nexec ${redisCli()} "$@"`);
}

/** Redis's own, or where that is not installed ours. */
function redisCli(): string {
  try {
    return `'${execFileSync('bash', ['-c', 'type -P redis-cli'], { encoding: 'utf8' }).trim()}'`;
  } catch {
    return ownRedisCli().join(' ');
  }
}

/** The words that run a program which prints as redis-cli does. */
export function ownRedisCli(): readonly string[] {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const program = fileURLToPath(new URL(`./redis-cli${extension}`, import.meta.url));
  return [`'${process.execPath}'`, `'${program}'`];
}
