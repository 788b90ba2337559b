// SocketMaster's dialect (docs/protocols/smhandshake.md) with the client `ws`, in both of its forms.
//
// GATEWAY_URL names a gateway with two endpoints, `endpoint1` and `endpoint2`, that echo; without it one is started that is
// configured as in SocketMaster's README.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Backend } from "./backend.mjs";
import { Gateway } from "./gateway.mjs";

let url = process.env.GATEWAY_URL;
const options = { timeout: 30_000 };
const started = [];

before(async () => {
  if (url) return;
  const ports = [];
  for (const name of ["one", "two"]) {
    const backend = await Backend.start({ name });
    started.push(backend);
    ports.push(backend.port);
  }
  const gateway = await Gateway.socketMaster(ports);
  started.push(gateway);
  url = gateway.url;
});

after(async () => {
  for (const thing of started.reverse()) await thing.remove();
});

/** How each form writes an event, and what it says about a route in answers. */
const forms = {
  json: {
    event: (event, data) => JSON.stringify({ event, data }),
    answer: (event, data, route) => JSON.stringify({ event, data, route }),
  },
  relaxed: {
    event: (event, data) => (data === undefined ? `{event: ${event}}` : `{event: ${event}, data: ${data}}`),
    answer: (event, data) => `{event: ${event}, data: ${data}}`,
  },
};

class Client {
  constructor(socket, form) {
    this.socket = socket;
    this.form = form;
    this.messages = [];
    this.waiting = [];
    this.closed = once(socket, "close");
    socket.on("message", (data, isBinary) => {
      const message = isBinary ? data : data.toString();
      const next = this.waiting.shift();
      if (next) next(message);
      else this.messages.push(message);
    });
  }

  static async connect(form) {
    const socket = new WebSocket(url);
    const client = new Client(socket, form);
    await once(socket, "open");
    return client;
  }

  /** A client that has shaken hands. */
  static async ready(form, ...names) {
    const client = await Client.connect(form);
    await client.ask(["SMHandshake", "SYN"], ["SMHandshake", "SYN/ACK"]);
    client.say("SMHandshake", "ACK");
    for (const name of names) await client.ask(["SMHandshake", name], ["SMHandshake", "ACK", name]);
    await client.ask(["SMHandshakeEnd"], ["SMHandshakeEnd", "ACK"]);
    return client;
  }

  send(message) {
    this.socket.send(message);
  }

  say(...event) {
    this.send(this.form.event(...event));
  }

  next() {
    if (this.messages.length > 0) return this.messages.shift();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  async ask(event, answer) {
    this.say(...event);
    assert.equal(await this.next(), this.form.answer(...answer));
  }

  async end() {
    this.socket.close();
    await this.closed;
  }
}

for (const [name, form] of Object.entries(forms)) {
  describe(`SMHandshake, ${name}`, () => {
    test("m08: the whole dialogue, and a message to each route", options, async () => {
      const client = await Client.ready(form, "Endpoint1", "endpoint2");
      client.send("ROUTENAME=Endpoint1\nhello");
      assert.equal(await client.next(), "ROUTENAME=Endpoint1\nhello");
      client.send("ROUTENAME=endpoint2\r\n\r\nκόσμε");
      assert.equal(await client.next(), "ROUTENAME=endpoint2\r\nκόσμε");
      await client.end();
    });

    test("m08: everything of the opening at once", options, async () => {
      const client = await Client.connect(form);
      for (const event of [["SMHandshake", "SYN"], ["SMHandshake", "ACK"], ["SMHandshake", "Endpoint1"], ["SMHandshakeEnd"]])
        client.say(...event);
      client.send("ROUTENAME=Endpoint1\nhello");
      const answers = [["SMHandshake", "SYN/ACK"], ["SMHandshake", "ACK", "Endpoint1"], ["SMHandshakeEnd", "ACK"]];
      for (const answer of answers) assert.equal(await client.next(), form.answer(...answer));
      assert.equal(await client.next(), "ROUTENAME=Endpoint1\nhello");
      await client.end();
    });

    test("m26: unknown names get a NACK, unannounced routes work", options, async () => {
      const client = await Client.connect(form);
      await client.ask(["SMHandshake", "SYN"], ["SMHandshake", "SYN/ACK"]);
      client.say("SMHandshake", "ACK");
      await client.ask(["SMHandshake", "Endpoint3"], ["SMHandshake", "NACK", "Endpoint3"]);
      await client.ask(["SMHandshakeEnd"], ["SMHandshakeEnd", "ACK"]);
      client.send("ROUTENAME=ENDPOINT2\nx");
      assert.equal(await client.next(), "ROUTENAME=ENDPOINT2\nx");
      await client.ask(["SMHandshake", "Endpoint1"], ["SMHandshake", "ACK", "Endpoint1"]);
      await client.end();
    });

    test("m27: a wrong order is told, then closed with 4400", options, async () => {
      const client = await Client.connect(form);
      client.say("SMHandshake", "ACK");
      const text = "out of order; expected SMHandshake with SYN";
      assert.equal(await client.next(), form.answer("SMError", text));
      const [code, reason] = await client.closed;
      assert.deepEqual([code, reason.toString()], [4400, text]);
    });

    test("m28: messages without a usable route are refused one by one", options, async () => {
      const client = await Client.ready(form);
      client.send("hello");
      assert.ok((await client.next()).includes("no route; expected"));
      client.send(Buffer.from("hello"));
      assert.ok((await client.next()).includes("no route; expected"));
      client.send(`ROUTENAME=${"n".repeat(256)}\nx`);
      assert.ok((await client.next()).includes("route name too long; expected"));
      client.send("ROUTENAME=Other\nx");
      const text = "no such route; expected a configured name - route Other";
      assert.equal(await client.next(), form.answer("SMError", text, "Other"));
      client.send("ROUTENAME=Endpoint1\nstill here");
      assert.equal(await client.next(), "ROUTENAME=Endpoint1\nstill here");
      await client.end();
    });

    test("m30: binary stays binary, whatever is in it", options, async () => {
      const client = await Client.ready(form);
      const line = Buffer.from("ROUTENAME=Endpoint1\n");
      for (const payload of [Buffer.alloc(0), Buffer.from([0x0a, 1, 0xff]), Buffer.from("ROUTENAME=endpoint2\nx")]) {
        client.send(Buffer.concat([line, Buffer.from("\n"), payload]));
        assert.deepEqual(await client.next(), Buffer.concat([line, payload]));
      }
      await client.end();
    });

    test("h1: two routes keep their messages and their order", options, async () => {
      const client = await Client.ready(form, "Endpoint1", "Endpoint2");
      const count = 200;
      for (let at = 0; at < count; at += 1)
        for (const route of ["Endpoint1", "Endpoint2"]) client.send(`ROUTENAME=${route}\n${route} ${at}`);
      const seen = { Endpoint1: 0, Endpoint2: 0 };
      for (let at = 0; at < 2 * count; at += 1) {
        const [line, payload] = (await client.next()).split("\n");
        const route = line.slice("ROUTENAME=".length);
        assert.equal(payload, `${route} ${seen[route]}`);
        seen[route] += 1;
      }
      await client.end();
    });
  });
}

test("m27: garbage and a missing handshake are told in JSON", options, async () => {
  for (const message of ["hello", "ROUTENAME=Endpoint1\nx", Buffer.from("{}")]) {
    const client = await Client.connect(forms.json);
    client.send(message);
    const { event, data } = JSON.parse(await client.next());
    assert.equal(event, "SMError");
    assert.ok(data.endsWith("; expected SMHandshake with SYN"), data);
    const [code] = await client.closed;
    assert.equal(code, 4400);
  }
});
