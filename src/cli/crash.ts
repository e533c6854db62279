/** Errors nobody caught: one handler at a time gets them, the one that knows most about what is going on. */

/** Must not return. */
export type CrashHandler = (error: unknown) => never;

const handlers: CrashHandler[] = [];

/** Sends uncaught errors to `handler` until disposed; the handler before it gets them again then. */
export function onCrash(handler: CrashHandler): Disposable {
  if (handlers.length === 0) {
    addEventListener("error", (event) => crashed(event, event.error));
    addEventListener("unhandledrejection", (event) => crashed(event, event.reason));
  }
  handlers.push(handler);
  return {
    [Symbol.dispose]() {
      handlers.splice(handlers.lastIndexOf(handler), 1);
    },
  };
}

function crashed(event: Event, error: unknown): void {
  event.preventDefault();
  handlers.at(-1)?.(error);
}
