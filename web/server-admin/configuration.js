// The keys by which the server runs.

import { get } from "./api.js";
import { keep, make, tell } from "./rows.js";
import { $ } from "./shell.js";

let data = { keys: [], warnings: [] };
$("filter-keys").addEventListener("input", show);
$("filter-keys").addEventListener("submit", (event) => event.preventDefault());

export async function ask() {
  ({ data } = await get("../v1/config"));
  show();
}

function keyRow() {
  const [key, value] = [make("td"), make("td")];
  const made = make("tr", "", key, value);
  made.show = (item) => {
    tell(key, item.key);
    tell(value, item.value);
    made.classList.toggle("set", !item.is_default);
    value.classList.toggle("hidden-value", item.value === "(hidden)");
  };
  return made;
}

function show() {
  const text = $("keys-text").value.trim().toLowerCase();
  const set = $("keys-set").checked;
  const keys = data.keys.filter((item) => (!set || !item.is_default) && item.key.toLowerCase().includes(text));
  tell($("keys-count"), `${keys.length} of ${data.keys.length} keys`);
  keep($("key-rows"), keys, ({ key }) => key, keyRow);
  $("no-keys").hidden = keys.length > 0;
  keep($("warnings"), data.warnings, (warning) => warning, (warning) => {
    const made = make("li", "", warning);
    made.show = () => {};
    return made;
  });
}
