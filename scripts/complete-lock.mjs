/**
 * Completes package-lock.json after `npm install`: npm leaves out the packages of other platforms that the
 * registry in use does not carry, and `npm ci` then refuses the lock everywhere. Each missing one gets an
 * entry with the version its parent names; the platform is read off its name, as `npm ci` must know what to
 * skip.
 *
 * Entries made here carry no integrity: they are pinned by version alone until an `npm install` against a
 * registry that has them.
 */

import { readFileSync, writeFileSync } from 'node:fs';

const LOCK = new URL('../package-lock.json', import.meta.url);
const SYSTEMS = new Set([
  'aix',
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'openharmony',
  'sunos',
  'win32',
]);

const lock = JSON.parse(readFileSync(LOCK, 'utf8'));
const added = [];
for (const [parentPath, parent] of Object.entries(lock.packages)) {
  if (parentPath === '') continue;
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (lock.packages[path] !== undefined || lock.packages[`${parentPath}/${path}`] !== undefined) continue;
    lock.packages[path] = {
      version,
      ...sortedByName({ ...platformOf(name), ...inherited(parent), optional: true }),
    };
    added.push(name);
  }
}
const [root, ...others] = Object.entries(lock.packages);
lock.packages = { [root[0]]: root[1], ...sortedByName(Object.fromEntries(others)) };
writeFileSync(LOCK, `${JSON.stringify(lock, null, 2)}\n`);
console.error(
  added.length === 0 ? 'The lock file is complete.' : `Added to the lock file:\n${added.join('\n')}`,
);

/** `cpu`, `os` and `libc` from a name that ends like `…linux-x64-musl`. */
function platformOf(name) {
  const words = name.split(/[/-]/);
  const at = words.findIndex((word) => SYSTEMS.has(word));
  if (at === -1 || words[at + 1] === undefined) {
    throw new Error(
      `cannot tell the platform of ${name} from its name; write its entry into package-lock.json by hand`,
    );
  }
  const abi = words[at + 2] ?? '';
  const platform = { cpu: [words[at + 1]], os: [words[at]] };
  if (words[at] !== 'linux' || abi === '') return platform;
  return { ...platform, libc: [abi.startsWith('musl') ? 'musl' : 'glibc'] };
}

function inherited({ dev, license }) {
  return { ...(dev === true && { dev }), ...(license !== undefined && { license }) };
}

function sortedByName(record) {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}
