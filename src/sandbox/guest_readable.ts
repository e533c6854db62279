/** Output of a command as a Web Stream with the conveniences that Deno's own child processes have. */

/** Bytes from the guest. While they are not read, the guest waits. */
export class GuestReadable extends ReadableStream<Uint8Array<ArrayBuffer>> {
  /** All of it as text (UTF-8). */
  async text(): Promise<string> {
    return new TextDecoder().decode(await this.bytes());
  }

  /** All of it. */
  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    for await (const chunk of this) {
      chunks.push(chunk);
      size += chunk.length;
    }
    const all = new Uint8Array(size);
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /** Line by line, without their ends (`\n` or `\r\n`). What follows the last one counts if it is not empty. */
  lines(): ReadableStream<string> {
    let rest = "";
    return this.pipeThrough(new TextDecoderStream()).pipeThrough(
      new TransformStream<string, string>({
        transform(text, controller) {
          const lines = (rest + text).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) controller.enqueue(line.replace(/\r$/, ""));
        },
        flush(controller) {
          if (rest !== "") controller.enqueue(rest);
        },
      }),
    );
  }
}
