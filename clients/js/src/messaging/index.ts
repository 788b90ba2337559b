// Client of a Tidewire messaging server. Empty so far: any WebSocket client talks to it (docs/messaging.md).

export {};
