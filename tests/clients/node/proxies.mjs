// nginx and HAProxy as processes, each with one rule, on a free port of this host.

import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { rm } from "node:fs/promises";
import { Program, freePort } from "./program.mjs";
import { newDataDir, until } from "./server.mjs";

/**
 * nginx as a WebSocket proxy to `port`, which adds X-Forwarded-For, drops the port of Host and says that clients came
 * over https; `fields` are set besides.
 */
export const startNginx = (port, { scheme = "https", fields = {} } = {}) =>
  start("nginx", ({ own, folder }) => ({
    config: `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  server {
    listen 127.0.0.1:${own};
    location / {
      proxy_pass http://127.0.0.1:${port};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto ${scheme};
      ${Object.entries(fields).map(([name, value]) => `proxy_set_header ${name} ${value};`).join("\n      ")}
      proxy_set_header X-Seen-By-Nginx $remote_addr;
    }
  }
}
`,
    args: (file) => ["-p", folder, "-e", "stderr", "-c", file],
  }));

/** nginx in front of an HTTP server at `port`, to which it keeps connections; `buffering` of bodies is "on" or "off". */
export const startNginxForHttp = (port, buffering) =>
  start("nginx", ({ own, folder }) => ({
    config: `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
events { worker_connections 256; }
http {
  access_log off;
  client_max_body_size 100m;
  client_body_buffer_size 100m;
  proxy_request_buffering ${buffering};
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  upstream back { server 127.0.0.1:${port}; keepalive 8; }
  server {
    listen 127.0.0.1:${own};
    location / {
      proxy_pass http://back;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host localhost;
    }
  }
}
`,
    args: (file) => ["-p", folder, "-e", "stderr", "-c", file],
  }));

/** HAProxy in front of an HTTP server at `port`, which it checks by `check`; /haproxy;csv tells what it thinks of it. */
export const startHaproxyForHttp = (port, check) =>
  start("haproxy", ({ own }) =>
    haproxy(own, `mode http\n  stats enable\n  stats uri /haproxy\n  ${check}`, "", `127.0.0.1:${port} check inter 100ms fall 1`),
  );

const haproxy = (own, defaults, frontend, backend) => ({
  config: `
global
  maxconn 256
defaults
  ${defaults}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:${own} ${frontend}
  default_backend back
backend back
  server one ${backend}
`,
  args: (file) => ["-db", "-f", file],
});

/** HAProxy that passes bytes on to `port`, behind a PROXY header of version 2. */
export const startHaproxyInFront = (port) =>
  start("haproxy", ({ own }) => haproxy(own, "mode tcp", "", `127.0.0.1:${port} send-proxy-v2`));

/** HAProxy in front of `port` that tells by header fields who asks, and may ask for `probe` whether the server lives. */
export const startHaproxyHttp = (port, { probe, fields = ["option forwardfor"] }) => {
  const check = probe === undefined ? [] : [`option httpchk ${probe}`, "default-server check inter 100ms fall 1 rise 1"];
  const defaults = ["mode http", "timeout tunnel 60s", ...check].join("\n  ");
  const frontend = ["", ...fields].join("\n  ");
  return start("haproxy", ({ own }) => haproxy(own, defaults, frontend, `127.0.0.1:${port}`));
};

/** HAProxy that expects a PROXY header, and tells the backend at `port` whom it names. */
export const startHaproxyBehind = (port) =>
  start("haproxy", ({ own }) =>
    haproxy(own, "mode http\n  timeout tunnel 60s", "accept-proxy\n  http-request set-header X-Seen-By-Haproxy %[src]", `127.0.0.1:${port}`),
  );

/** Ports are picked before they are bound, so another process may have taken one: then with another. */
async function start(program, plan) {
  for (let attempt = 1; ; attempt += 1) {
    const folder = await newDataDir();
    const own = await freePort();
    const { config, args } = plan({ own, folder });
    const file = join(folder, `${program}.conf`);
    await writeFile(file, config);
    const running = new Program(program, args(file));
    const remove = async () => {
      // nginx leaves its worker behind when it is killed.
      await running.end("SIGTERM");
      await rm(folder, { recursive: true, force: true });
    };
    const listens = await until(`${program} to listen`, async () => {
      if (!running.running) return "no";
      return (await isListening(own)) && "yes";
    });
    if (listens === "yes") return { port: own, url: `ws://127.0.0.1:${own}/`, remove };
    await remove();
    if (attempt === 3) throw new Error(`${program} ended:\n${running.errors}`);
  }
}

const isListening = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
