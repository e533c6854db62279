/** Compiles `kvm_loop.c`, once for every state of its text. Called by `parts/exits.ts`. */
const SOURCE = new URL("./kvm_loop.c", import.meta.url);

/** The path of the program in the user's cache. */
export async function buildKvmLoop(): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(SOURCE));
  const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/tmp"}/.cache`;
  const directory = `${cache}/dinovisor/bench`;
  const path = `${directory}/kvm_loop-${new Uint8Array(digest).toHex().slice(0, 16)}`;
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  await Deno.mkdir(directory, { recursive: true });
  const temporary = await Deno.makeTempFile({ dir: directory });
  const args = ["-O2", "-Wall", "-Wextra", "-pthread", "-o", temporary, SOURCE.pathname];
  const { success, stderr } = await new Deno.Command("gcc", { args }).output();
  if (!success) {
    await Deno.remove(temporary).catch(() => {});
    throw new Error(`Cannot build the C loop:\n${new TextDecoder().decode(stderr)}`);
  }
  await Deno.rename(temporary, path); // two builds at once both end with a whole file
  return path;
}
