// The plug-in @tencent-weixin/openclaw-weixin imports these from the program that hosts it. Its iLink client, which is
// what the tests use, calls none of them except for the folder of its log.
import os from "node:os";
import path from "node:path";

export const resolvePreferredOpenClawTmpDir = () => path.join(process.env.FAKES_TMP ?? os.tmpdir(), "openclaw");
export const normalizeAccountId = (id) => String(id);
export const withFileLock = async (file, options, act) => act();
