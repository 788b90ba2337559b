// Applies the remembered colour theme before the first paint. A classic script in <head>: modules run too late for that.
(() => {
  "use strict";
  const KEY = "tidewire.chat/theme";
  const root = document.documentElement;
  try {
    const chosen = localStorage.getItem(KEY);
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
  } catch {
    // Storage may be blocked; the page then follows the system.
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  window.tidewireTheme = {
    current: () => root.dataset.theme ?? (system.matches ? "dark" : "light"),
    toggle() {
      root.dataset.theme = this.current() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // Not remembered, still applied.
      }
    },
  };
})();
