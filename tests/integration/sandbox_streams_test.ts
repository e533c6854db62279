/** Commands whose streams are streams of this process, and users that the guest knows. */
import { bootMachine, bootRequest } from "../../src/sandbox/boot.ts";
import type { GuestCommandOptions } from "../../src/sandbox/command_options.ts";
import { GuestCommands } from "../../src/sandbox/guest_commands.ts";
import { GuestFs } from "../../src/sandbox/guest_fs.ts";
import { OUTPUT_WINDOW } from "../../src/sandbox/output_queue.ts";
import { assert, assertEquals } from "../../src/std/assert.ts";
import { linuxTest, until } from "../support/kvm.ts";

const WAIT_MS = 150_000;

/** A stream of this process that takes nothing until it is opened. */
class Gate {
  text = "";
  readonly #open = Promise.withResolvers<void>();

  async write(bytes: Uint8Array): Promise<number> {
    await this.#open.promise;
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }

  open(): void {
    this.#open.resolve();
  }
}

linuxTest(
  "the end of a command is told behind all it has written, though others hold its output",
  async () => {
    const { machine, agent, exited } = await bootMachine(await bootRequest({}), undefined);
    try {
      assert(agent !== undefined);
      const fs = new GuestFs(agent);
      const commands = new GuestCommands({ agent: () => agent, fs }, { env: {}, user: undefined });
      const spawn = async (script: string, options: GuestCommandOptions) => {
        const [stdout, stderr] = [new Gate(), new Gate()];
        const stdin = { read: () => Promise.resolve(null) };
        const all = { stdout: "inherit", stderr: "inherit", ...options } as const;
        const host = { stdin, stdout, stderr };
        return { child: await commands.spawn("sh", ["-c", script], all, host), stdout, stderr };
      };

      // More than is sent before the first of it has been written, less than its pipe holds beside that.
      const size = OUTPUT_WINDOW + 30_000;
      const script = `sleep 1000 & head -c ${size} /dev/zero | tr '\\0' x; echo done >&2; exit 7`;
      const pipe = await spawn(script, {});
      pipe.stderr.open();
      await until("the last of it is written", () => pipe.stderr.text === "done\n", WAIT_MS);
      pipe.stdout.open();
      assertEquals((await pipe.child.status).code, 7);
      assertEquals(pipe.stdout.text.length, size);
      await pipe.child[Symbol.asyncDispose]();

      const tty = await spawn("sleep 1000 & cat; seq 300; exit 8", { pty: true, stdin: "inherit" });
      tty.stdout.open();
      assertEquals((await tty.child.status).code, 8);
      assert(tty.stdout.text.endsWith("\n299\r\n300\r\n"), tty.stdout.text);
      await tty.child[Symbol.asyncDispose]();

      await fs.writeTextFile("/tmp/group", "root:x:0:\nnogroup:x:65534:\nextra:x:77:root,nobody\n");
      const id = await spawn("mount --bind /tmp/group /etc/group && id -G", { stdout: "piped" });
      assertEquals((await id.child.output()).text, "0\n"); // nobody was asked for: the agent's own
      for (const [user, groups] of [["nobody", "65534 77"], ["nobody:root", "0"]] as const) {
        const { child } = await spawn("id -G", { stdout: "piped", user });
        const { text } = await child.output();
        assertEquals(text.trim().split(" ").sort().join(" "), groups); // in no order
      }
    } finally {
      await machine.stop();
      await exited;
    }
  },
);
