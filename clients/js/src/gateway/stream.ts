// One logical socket on one connection: which frame may come when, credit, the closing handshake.
//
//   opening ──ACCEPT──▶ open ──close()──▶ flushing ──all is sent, CLOSE──▶ closeSent ──CLOSE──▶ gone
//      │ close(): CLOSE ─────────────────────────────────────────────────────▶┘ │
//      └ REJECT ▶ gone    CLOSE from the gateway, answered with CLOSE ▶ gone    └ no answer in time ▶ gone
//
// In: frames of the gateway (`receive`), commands of the owner, the connection's offers to send (`nextFrame`). Out: frames
// and events of `StreamOwner`. Invariant: after `gone` the owner hears nothing; after its own CLOSE nothing is sent.

import { Assembly, type Message } from "./assembly.js";
import { encodeClose, encodeCredit, encodeData, encodePong, type DataFrame, type Frame, fromUtf8, ProtocolError } from "./codec.js";
import { ReceiveCredit, SendCredit } from "./credit.js";
import type { Outbox } from "./outbox.js";

/** What the logical socket is told by its stream. */
export interface StreamOwner {
  readonly outbox: Outbox;
  accepted(subprotocol: string): void;
  /** `retiring`: the connection takes no OPEN any more, another one might. */
  rejected(status: number, reason: string, retiring: boolean): void;
  message(data: string | Message["bytes"]): void;
  down(retryMs: number): void;
  up(): void;
  /** Both sides have sent CLOSE; `byGateway`: the gateway was first. */
  closed(code: number | undefined, reason: string, byGateway: boolean): void;
  /** This end had to give up. */
  failed(code: number, reason: string): void;
  /** The connection is gone; the next attempt is made in `retryMs`. */
  lost(reason: string, retryMs: number): void;
}

/** What a stream needs of its connection. */
export interface StreamPort {
  readonly retiring: boolean;
  sendNow(frame: Uint8Array<ArrayBuffer>): void;
  /** There may be something to send: ask `nextFrame` when it is this stream's turn. */
  markReady(stream: Stream): void;
  /** A pong that may be replaced by a newer one. */
  pong(stream: number, frame: Uint8Array<ArrayBuffer>): void;
  remove(stream: Stream): void;
}

export interface StreamLimits {
  creditBytes: number;
  maxMessageBytes: number;
  closeWithinMs: number;
}

type Phase = "opening" | "open" | "flushing" | "closeSent" | "gone";

export class Stream {
  readonly id: number;
  readonly #port: StreamPort;
  readonly #owner: StreamOwner;
  readonly #limits: StreamLimits;
  readonly #sendCredit = new SendCredit();
  readonly #receiveCredit: ReceiveCredit;
  readonly #assembly: Assembly;
  #phase: Phase = "opening";
  /** The owner wants to know nothing more, though the gateway's CLOSE is still to come. */
  #abandoned = false;
  #closeCode: number | undefined;
  #closeReason = "";
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(id: number, port: StreamPort, owner: StreamOwner, limits: StreamLimits) {
    this.id = id;
    this.#port = port;
    this.#owner = owner;
    this.#limits = limits;
    this.#receiveCredit = new ReceiveCredit(limits.creditBytes);
    this.#assembly = new Assembly(limits.maxMessageBytes);
  }

  /** The outbox has something new. */
  wake(): void {
    if (this.isReady) this.#port.markReady(this);
  }

  /** Sends what is in the outbox, then CLOSE. */
  close(code: number | undefined, reason: string): void {
    if (this.#phase !== "open") return;
    this.#phase = "flushing";
    this.#closeCode = code;
    this.#closeReason = reason;
    this.wake();
  }

  /** Sends CLOSE at once; the owner hears nothing more. */
  abandon(code?: number, reason?: string): void {
    this.#abandoned = true;
    if (this.#phase === "gone" || this.#phase === "closeSent") return;
    this.#sentClose();
    this.#port.sendNow(encodeClose(this.id, code, reason));
  }

  /** The connection is gone. */
  lose(reason: string, retryMs: number): void {
    if (this.#phase === "gone") return;
    this.#gone();
    if (!this.#abandoned) this.#owner.lost(reason, retryMs);
  }

  get isReady(): boolean {
    const { outbox } = this.#owner;
    if (this.#phase === "flushing" && outbox.isEmpty) return true;
    return (this.#phase === "open" || this.#phase === "flushing") && outbox.isReady(this.#sendCredit.available);
  }

  /** The frame to send now that it is this stream's turn. */
  nextFrame(): Uint8Array<ArrayBuffer> | undefined {
    if (!this.isReady) return undefined;
    const piece = this.#owner.outbox.next(this.#sendCredit.available);
    if (piece === undefined) {
      this.#sentClose();
      return encodeClose(this.id, this.#closeCode, this.#closeReason);
    }
    this.#sendCredit.spend(piece.payload.length);
    return encodeData(this.id, piece.last, piece.binary, piece.payload);
  }

  /** Takes a frame of the gateway. Throws nothing but `ProtocolError`. */
  receive(frame: Frame): void {
    const answers = frame.type === "accept" || frame.type === "reject";
    if (this.#phase === "closeSent") {
      // The rest was on its way when CLOSE was sent.
      if (frame.type === "close") this.#closeAnswered(frame.code, frame.reason);
      else if (frame.type === "reject") this.#closeAnswered(undefined, "");
    } else if (this.#phase === "opening") {
      if (!answers) throw new ProtocolError(`expected ACCEPT or REJECT first on stream ${this.id}`);
      this.#answered(frame);
    } else {
      if (answers) throw new ProtocolError(`expected stream ${this.id} to be accepted or rejected once`);
      this.#receiveOpen(frame);
    }
  }

  #answered(frame: Frame & { type: "accept" | "reject" }): void {
    if (frame.type === "reject") {
      this.#gone();
      return this.#owner.rejected(frame.status, frame.reason, this.#port.retiring);
    }
    this.#phase = "open";
    this.#sendCredit.add(frame.credit, this.id);
    this.#owner.accepted(frame.subprotocol);
  }

  #receiveOpen(frame: Frame): void {
    switch (frame.type) {
      case "data":
        return this.#data(frame);
      case "credit":
        this.#sendCredit.add(frame.credit, this.id);
        return this.wake();
      case "close":
        this.#port.sendNow(encodeClose(this.id));
        this.#gone();
        return this.#owner.closed(frame.code, frame.reason, true);
      case "ping":
        return this.#port.pong(this.id, encodePong(this.id, frame.payload));
      case "down":
        if (this.#phase === "open") this.#owner.down(frame.retryMs);
        return;
      case "up":
        if (this.#phase === "open") this.#owner.up();
        return;
    }
  }

  #data(frame: DataFrame): void {
    const { length } = frame.payload;
    this.#receiveCredit.charge(length, this.id);
    const message = this.#assembly.add(frame);
    if (message === "too big") return this.#fail(1009, `expected at most ${this.#limits.maxMessageBytes} bytes in a message`);
    if (message !== undefined && this.#phase === "open") {
      const data = message.binary ? message.bytes : fromUtf8(message.bytes);
      if (data === undefined) return this.#fail(1007, "expected UTF-8 in a text message");
      this.#owner.message(data);
    }
    const credit = this.#receiveCredit.giveBack(length);
    if (credit > 0) this.#port.sendNow(encodeCredit(this.id, credit));
  }

  /** The code of the answer does not matter, but a CLOSE that crossed ours may say something. */
  #closeAnswered(code: number | undefined, reason: string): void {
    this.#gone();
    if (this.#abandoned) return;
    if (code === undefined) this.#owner.closed(this.#closeCode, this.#closeReason, false);
    else this.#owner.closed(code, reason, false);
  }

  #fail(code: number, reason: string): void {
    this.abandon(code, reason);
    this.#owner.failed(code, reason);
  }

  #sentClose(): void {
    this.#phase = "closeSent";
    this.#closeTimer = setTimeout(() => {
      this.#gone();
      if (!this.#abandoned) this.#owner.failed(1006, "no answer to CLOSE");
    }, this.#limits.closeWithinMs);
  }

  #gone(): void {
    this.#phase = "gone";
    clearTimeout(this.#closeTimer);
    this.#port.remove(this);
  }
}
