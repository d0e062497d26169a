/** The project's own files, for tests that check the project as a whole. */

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Tests run compiled, from dist/test/, and on newer Node also as they stand. */
const IS_COMPILED = import.meta.url.includes('/dist/test/');

export const ROOT = fileURLToPath(new URL(IS_COMPILED ? '../../../' : '../../', import.meta.url));

export interface ProjectFile {
  /** From the root, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** Whether golden files are to be written instead of compared: `REWRITE=1 npm test`. */
export const isRewriting = process.env['REWRITE'] === '1';

const paths = listFiles();
const texts = new Map<string, string>();

/** Files whose path matches, tracked or about to be, sorted. Fixtures are damaged on purpose and left out. */
export function projectFiles(pattern: RegExp): ProjectFile[] {
  return paths.filter((path) => pattern.test(path)).map((path) => ({ path, text: textOf(path) }));
}

export function textOf(path: string): string {
  const known = texts.get(path);
  if (known !== undefined) return known;
  const text = readFileSync(ROOT + path, 'utf8');
  texts.set(path, text);
  return text;
}

export function exists(path: string): boolean {
  return existsSync(ROOT + path);
}

function listFiles(): string[] {
  return (listByGit() ?? listByWalking(''))
    .filter((path) => !path.startsWith('test/fixtures/') && exists(path) && statSync(ROOT + path).isFile())
    .sort();
}

/** Null outside a git checkout, as in an unpacked archive. */
function listByGit(): string[] | null {
  try {
    const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    const output = execFileSync('git', args, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output.split('\0').filter((path) => path !== '');
  } catch {
    return null;
  }
}

function listByWalking(folder: string): string[] {
  return readdirSync(ROOT + folder, { withFileTypes: true }).flatMap((entry) => {
    const path = folder + entry.name;
    if (!entry.isDirectory()) return [path];
    return /^(\.git|node_modules|dist|data|d)$/.test(path) ? [] : listByWalking(`${path}/`);
  });
}
