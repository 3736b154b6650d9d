# SPDX-License-Identifier: Apache-2.0
"""vigil manifest render: a Jinja template to standard output."""
import os
import pathlib
import subprocess
import sys
import sysconfig

BAD_INPUT, USAGE = 3, 2


def fail(code, text):
    print("vigil: " + text, file=sys.stderr)
    sys.exit(code)


class Gramine:
    """What Gramine's templates ask of it. Its library OS is a file of its own, which they trust and load; ours is part of the
    image: the runtime that is there stands for it, and loader.entrypoint has no effect."""
    libos = os.environ.get("VIGIL_TEMPLATE_LIBOS", "")

    @staticmethod
    def runtimedir(libc="glibc"):
        return "/lib/x86_64-linux-gnu" if libc == "glibc" else "/usr/lib/musl/lib"


class Python:
    """Where the modules of a Python are. Of the one that runs this, or (get_sys_path) of any other."""
    implementation = sys.implementation
    stdlib = pathlib.Path(sysconfig.get_path("stdlib"))
    platstdlib = pathlib.Path(sysconfig.get_path("platstdlib"))
    purelib = pathlib.Path(sysconfig.get_path("purelib"))

    @staticmethod
    def get_config_var(name):
        return sysconfig.get_config_var(name)

    @staticmethod
    def get_path(name, *args, **more):
        return sysconfig.get_path(name, *args, **more)

    @staticmethod
    def get_sys_path(interpreter):
        """Those that exist, as paths."""
        program = "import os, sys; sys.stdout.write('\\0'.join(p for p in sys.path if os.path.exists(p)))"
        try:
            found = subprocess.run([str(interpreter), "-c", program], stdout=subprocess.PIPE, timeout=60, check=True).stdout
        except (OSError, subprocess.SubprocessError) as error:
            fail(BAD_INPUT, "python.get_sys_path(%s): %s" % (interpreter, error))
        return [pathlib.Path(os.fsdecode(p)) for p in found.split(b"\0") if p]


def main(arguments):
    names, template = {}, None
    while arguments:
        argument = arguments.pop(0)
        if argument.startswith("-D"):
            assignment = argument[2:] or (arguments.pop(0) if arguments else "")
            name, equals, value = assignment.partition("=")
            if not equals or not name:
                fail(USAGE, "-D takes NAME=VALUE, not %s" % assignment)
            names[name] = value
        elif template is None:
            template = argument
        else:
            fail(USAGE, "%s: one template at a time" % argument)
    if template is None:
        fail(USAGE, "no template given")
    try:
        import jinja2
    except ImportError:
        fail(BAD_INPUT, "manifest templates need the package python3-jinja2 (apt-get install python3-jinja2)")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True,
                                     loader=jinja2.FileSystemLoader(os.path.dirname(template) or "."))
    environment.globals.update(gramine=Gramine, python=Python, env=dict(os.environ), arch_libdir="/lib/x86_64-linux-gnu", entrypoint="")
    try:
        sys.stdout.write(environment.get_template(os.path.basename(template)).render(**names))
        sys.stdout.flush()
    except jinja2.TemplateNotFound:
        fail(BAD_INPUT, "%s: cannot read the template" % template)
    except jinja2.TemplateSyntaxError as error:
        fail(BAD_INPUT, "%s:%d: %s" % (template, error.lineno, error.message))
    except jinja2.TemplateError as error:
        fail(BAD_INPUT, "%s: %s; give it with -D NAME=VALUE" % (template, error))
    except OSError as error:
        fail(BAD_INPUT, "%s: %s" % (template, error))


main(sys.argv[1:])
