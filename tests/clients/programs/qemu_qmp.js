// qemu-qmp for Node.js: takes the first piece that arrives for the whole greeting.
const QMP = require("qemu-qmp");

const [path, script] = [process.argv[2], JSON.parse(process.argv[3])];
const qmp = new QMP();
const answers = [];
const events = [];
for (const name of ["STOP", "RESUME"]) {
  // A socket has a "resume" of its own, which carries nothing.
  qmp.on(name.toLowerCase(), (sent) => sent === name && events.push(name));
}

function next(step) {
  if (step === script.length) {
    console.log(JSON.stringify({ answers, events }));
    qmp.destroy();
    return;
  }
  const [name, options] = script[step];
  qmp.execute(name, options, (error, value) => {
    answers.push(error ? { error: error.message } : { return: value });
    next(step + 1);
  });
}

qmp.connect(path, (error) => {
  if (error) throw error;
  next(0);
});
