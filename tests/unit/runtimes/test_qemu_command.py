"""What QEMU is told: one machine model, nothing secret, no way out."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qvirt.errors import Unsupported, UsageError
from qvirt.model.vm import LAST_WORDS, VMSpec
from qvirt.paths import Paths
from qvirt.runtimes.accelerator import Accelerator
from qvirt.runtimes.qemu import boot, command
from qvirt.runtimes.qemu.command import Hardware, Lines, Memory
from qvirt.runtimes.qemu.records import Machine, Records

TCG = Accelerator("tcg", "there is no KVM", 40.0)
KVM = Accelerator("kvm", "it works", 1.0)
HARDWARE = Hardware("/bin/qemu", TCG, 512, 2, "/images/a,b/disk", "/kernel", "/initrd", "console=ttyS0")
FOLDER = Path("/state/vms/abc")
LINES = Lines(
    "qvirt-abc",
    FOLDER / "monitor.sock",
    FOLDER / "console.sock",
    FOLDER / "guest.log",
    (("opt/qvirt/token", FOLDER / "token"),),
)
SPEC = VMSpec("lab", "qemu", memory=600 << 20, cpus=2, spares=0)


def machine(spec: VMSpec = SPEC) -> Machine:
    return Machine(spec, "/disk", "/kernel", "/initrd", owned=False, created=time.time())


def after(words: list[str], option: str) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words) if word == option]


def test_the_machine_is_confined_and_reached_by_one_port_of_loopback() -> None:
    words = command.command(HARDWARE, Memory(), LINES, 4711)
    assert after(words, "-netdev") == ["user,id=net,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:4711-:8000"]
    assert "spawn=deny" in after(words, "-sandbox")[0]
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(words)
    assert after(words, "-name") == ["qvirt-abc"]
    assert (after(words, "-m"), after(words, "-smp")) == (["512M"], ["2"])


def test_secrets_stand_in_files_only(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    records = Records(paths, "qemu", "abc")
    spec = replace(SPEC, environment={"PASSWORD": "swordfish"})
    records.make(machine(spec), 4711)
    boot.write_config(paths, "abc", machine(spec), TCG)
    lines = replace(LINES, files=tuple(boot.files(paths, "abc", TCG)))
    line = boot.kernel_line(spec, TCG)
    told = " ".join(command.command(replace(HARDWARE, kernel_line=line), Memory(), lines, 4711))
    assert records.token not in told
    assert "swordfish" not in told
    assert str(paths.vm_token("abc")) in told
    assert (paths.vm_config("abc").stat().st_mode & 0o777) == 0o600


def test_a_comma_in_a_path_ends_no_value() -> None:
    assert "file=/images/a,,b/disk" in after(command.command(HARDWARE, Memory(), LINES, 1), "-drive")[0]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        (Memory(), "memory-backend-ram,id=ram,size=512M"),
        (Memory(Path("/m"), shared=True), "memory-backend-file,id=ram,size=512M,mem-path=/m,share=on"),
        (Memory(Path("/m")), "memory-backend-file,id=ram,size=512M,mem-path=/m,share=off"),
    ],
)
def test_only_a_template_writes_to_the_file_of_its_memory(memory: Memory, expected: str) -> None:
    assert after(command.command(HARDWARE, memory, LINES, 1), "-object") == [expected]


def test_a_copy_differs_from_its_template_only_in_where_its_state_comes_from() -> None:
    template = command.command(HARDWARE, Memory(Path("/m"), shared=True), LINES, 1)
    copy = command.command(HARDWARE, Memory(Path("/m")), LINES, 1, waiting=True)
    added = ["-incoming", "defer"]
    assert [word.replace("share=on", "share=off") for word in template] + added == copy


def test_translated_code_has_a_bounded_cache_and_native_code_none() -> None:
    assert after(command.command(HARDWARE, Memory(), LINES, 1), "-accel") == ["tcg,tb-size=256"]
    native = command.command(replace(HARDWARE, accelerator=KVM), Memory(), LINES, 1)
    assert (after(native, "-accel"), after(native, "-cpu")) == (["kvm"], ["host"])


def test_the_kernel_line_is_one_line_and_keeps_the_kernel_s_own_defences_on_kvm() -> None:
    translated, native = boot.kernel_line(SPEC, TCG), boot.kernel_line(SPEC, KVM)
    assert "qvirt.root=/dev/vda qvirt.fs=erofs" in translated
    assert f"qvirt.disk={SPEC.disk}" in translated
    assert "{" not in translated
    assert "\n" not in translated
    assert "mitigations=off" in translated
    assert not {"mitigations=off", "nokaslr"} & set(native.split())


def test_the_configuration_means_to_a_shell_what_was_asked_for(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.vm("abc").mkdir(parents=True)
    nasty = 'it\'s $(touch /tmp/x) `id` "quoted"\nsecond line'
    spec = replace(SPEC, environment={"NASTY": nasty}, ttl=100.0)
    boot.write_config(paths, "abc", machine(spec), TCG)
    script = f'. {paths.vm_config("abc")}; printf "%s|%s|" "$HOSTNAME" "$ARGS"; printenv NASTY'
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    hostname, arguments, rest = told.split("|", 2)
    assert hostname == "lab"
    assert rest == f"{nasty}\n"
    assert arguments.startswith(f"--memory {600 << 20} --cpus 2 --spares 0 --ttl ")
    assert arguments.endswith(" --slowdown 40")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"gpu": True}, Unsupported),
        ({"volumes": ("/data:/data",)}, Unsupported),
        ({"environment": {"A;reboot": "1"}}, UsageError),
    ],
)
def test_what_cannot_be_given_is_refused(changed: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        boot.check(replace(SPEC, **changed))  # type: ignore[arg-type]


def test_last_words_are_found_before_what_the_kernel_says() -> None:
    log = f"started\n{LAST_WORDS}its time to live is over\n[   20.1] reboot: Power down\n"
    assert boot.last_words_on_console(log) == "its time to live is over"
    assert boot.last_words_on_console("started\n") is None


def test_the_kernel_s_panic_and_the_first_process_s_complaint_are_reasons() -> None:
    assert boot.trouble_on_console("a\nqvirt: the service ended with status 1\nb\n") == (
        "the service ended with status 1"
    )
    assert "Kernel panic" in (boot.trouble_on_console("[ 1.0] Kernel panic - not syncing: no init\n") or "")
    assert boot.trouble_on_console("all is well\n") is None
