/** Waiting with an end: a test of crashes must tell a hang from patience. */

/** Rejects with what `describe` says when `promise` has not settled after `ms` milliseconds. */
export function before<Result>(
  ms: number,
  promise: Promise<Result>,
  describe: () => string,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${describe()} after ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
