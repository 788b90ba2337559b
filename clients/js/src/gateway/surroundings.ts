// What the platform knows of the network and of the page: a moment at which a new attempt is worth while.

type Target = {
  addEventListener?: (type: string, listener: () => void) => void;
  removeEventListener?: (type: string, listener: () => void) => void;
};

/**
 * Calls `changed` when the network comes back (`online`, in pages and workers), or when a page is shown again, whose timers
 * were slowed down or stopped meanwhile. Gives a function that stops it. Platforms without these events call nothing.
 */
export function watchSurroundings(changed: () => void): () => void {
  const scope = globalThis as Target & { document?: Target & { visibilityState?: string } };
  const { document } = scope;
  const shown = () => {
    if (document?.visibilityState === "visible") changed();
  };
  // React Native has a global object without listeners; polyfills may have one of both functions.
  const watched: [Target | undefined, string, () => void][] = [
    [scope, "online", changed],
    [scope, "pageshow", changed],
    [document, "visibilitychange", shown],
  ];
  const listening = watched.filter(([target]) => typeof target?.addEventListener === "function");
  for (const [target, type, listener] of listening) target?.addEventListener?.(type, listener);
  return () => {
    for (const [target, type, listener] of listening) target?.removeEventListener?.(type, listener);
  };
}
