// The end of several operations.

/** Resolves when all have ended: their buffers are the caller's again, also when one has failed. Throws the first failure. */
export async function all(operations: readonly Promise<void>[]): Promise<void> {
  if (operations.length === 1) return operations[0];
  for (const result of await Promise.allSettled(operations))
    if (result.status === 'rejected') throw result.reason;
}

/** Begins operations one after the other and resolves as `all` does; when one fails at once, the rest is not begun. */
export function together(steps: readonly (() => void | Promise<void>)[]): void | Promise<void> {
  const pending: Promise<void>[] = [];
  try {
    for (const step of steps) {
      const done = step();
      if (done !== undefined) pending.push(done);
    }
  } catch (error) {
    if (pending.length === 0) throw error;
    pending.push(Promise.reject(error));
  }
  if (pending.length > 0) return all(pending);
}
